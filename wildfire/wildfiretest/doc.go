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
// /am/oauth2/access_token. Markers in a sample's name or contents ([MarkerHelp]), [Server.Know] or
// [WithPlan] decide the result of a sample. [Server.Inject] injects faults, and [Style] varies the
// format of answers. [Server.Calls] and [Server.Uploads] return the recorded requests, and
// [Server.TokenRequests] counts those to the token service.
//
// # What it guarantees
//
// Answers have the formats, statuses and reason phrases in the vendor's documentation and in public
// clients. With the same seed, the same calls in the same order and at the same times ([WithNow])
// get the same answers. Memory is bounded: contents are hashed as they arrive, and only small
// contents are kept; beyond [WithCapacity] the oldest samples and calls are dropped. All methods
// are safe for concurrent use, also while serving.
//
// # What it does not do
//
// It analyzes nothing and is not hardened for hostile networks. Where public sources do not
// describe the real service, it has one plausible behavior. A test that passes with it may still
// fail with the real service.
package wildfiretest
