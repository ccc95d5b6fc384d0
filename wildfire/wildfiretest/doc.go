// Package wildfiretest simulates WildFire and its token service, for the tests of programs that use
// them and for trying such programs without an account.
//
//	server := wildfiretest.New(wildfiretest.WithDelay(0))
//	web := server.Start()
//	defer web.Close()
//
//	cfg := wildfire.DefaultConfig()
//	cfg.BaseURL = web.URL
//	client, err := wildfire.New(cfg, wildfire.StaticToken("any"))
//
// A [Server] is an http.Handler for /publicapi and for the token service at
// /am/oauth2/access_token. What becomes of a sample is decided by markers in its name or contents
// ([MarkerHelp]), by [Server.Know], or by [WithPlan]. Faults are injected with [Server.Inject], the
// spelling of answers is varied with [Style], and afterwards the server tells what it saw:
// [Server.Calls], [Server.Uploads], [Server.TokenRequests].
//
// # What it guarantees
//
// Answers have the shapes, statuses and reason phrases that vendor documents and public clients
// show. With the same seed, the same calls in the same order get the same answers. Memory is
// bounded: contents are hashed while they arrive and only the first kilobytes of small ones are
// kept; samples and calls beyond [WithCapacity] push out the oldest. All methods are safe for
// concurrent use, also while serving.
//
// # What it does not do
//
// It analyzes nothing, it is not hardened for hostile networks, and where public sources say
// nothing about the real service it picks one plausible behavior. Passing against it does not
// prove that the live service agrees.
package wildfiretest
