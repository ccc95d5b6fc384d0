package jets_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"backburn/internal/jets"
	"backburn/internal/testkit"
	"backburn/internal/testkit/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// connect starts a server and returns its client.
func connect(t *testing.T, opts *server.Options, with ...nats.Option) jetstream.JetStream {
	t.Helper()
	ns := testkit.StartNATS(t, opts)
	return dial(t, ns.ClientURL(), with...)
}

func dial(t *testing.T, url string, with ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, with...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func stream(t *testing.T, js jetstream.JetStream, c jetstream.StreamConfig) {
	t.Helper()
	if c.Subjects == nil {
		c.Subjects = []string{strings.ToLower(c.Name) + ".>"}
	}
	if _, err := js.CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// TestClassesOfServerAnswers gets each answer from a real server.
func TestClassesOfServerAnswers(t *testing.T) {
	t.Parallel()
	js := connect(t, &server.Options{JetStreamMaxStore: 64 << 20, MaxPayload: 4 << 10})
	stream(t, js, jetstream.StreamConfig{Name: "S", MaxMsgSize: 2 << 10})
	stream(t, js, jetstream.StreamConfig{Name: "MSGS", MaxMsgs: 1, Discard: jetstream.DiscardNew})
	stream(t, js, jetstream.StreamConfig{Name: "BYTES", MaxBytes: 100, Discard: jetstream.DiscardNew})
	stream(t, js, jetstream.StreamConfig{Name: "SUBJECT", MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true})
	stream(t, js, jetstream.StreamConfig{Name: "ONE", MaxConsumers: 1})
	publish := func(subject string, size int, opts ...jetstream.PublishOpt) error {
		_, err := js.Publish(t.Context(), subject, make([]byte, size), opts...)
		return err
	}
	for _, subject := range []string{"s.a", "msgs.a", "subject.a"} {
		if err := publish(subject, 1); err != nil {
			t.Fatal(err)
		}
	}
	bucket, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Create(t.Context(), "there", nil); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	closed := dial(t, js.Conn().ConnectedUrl())
	closed.Conn().Close()

	for name, tc := range map[string]struct {
		request func(ctx context.Context) error
		want    jets.Class
		says    string
	}{
		"stream full of messages": {func(context.Context) error { return publish("msgs.b", 1) }, jets.Full, "try again later"},
		"stream full of bytes":    {func(context.Context) error { return publish("bytes.b", 500) }, jets.Full, "try again later"},
		"subject full":            {func(context.Context) error { return publish("subject.a", 1) }, jets.Full, "try again later"},
		"message over the stream's limit": {
			func(context.Context) error { return publish("s.a", 3<<10) }, jets.TooLarge, "max_payload",
		},
		"message over the server's limit": {
			func(context.Context) error { return publish("s.a", 5<<10) }, jets.TooLarge, "max_payload",
		},
		"nobody listens": {func(context.Context) error { return publish("nowhere", 1) }, jets.Unavailable, ""},
		"wrong sequence": {
			func(context.Context) error { return publish("s.a", 1, jetstream.WithExpectLastSequence(77)) }, jets.Conflict, "",
		},
		"wrong sequence of the subject": {
			func(context.Context) error { return publish("s.a", 1, jetstream.WithExpectLastSequencePerSubject(77)) }, jets.Conflict, "",
		},
		"wrong last id": {
			func(context.Context) error { return publish("s.a", 1, jetstream.WithExpectLastMsgID("x")) }, jets.Conflict, "",
		},
		"time-to-live that the stream does not allow": {
			func(context.Context) error { return publish("s.a", 1, jetstream.WithMsgTTL(time.Second)) }, jets.TooOld, "update",
		},
		"no such stream": {func(ctx context.Context) error { _, err := js.Stream(ctx, "NONE"); return err }, jets.Gone, ""},
		"no such bucket": {func(ctx context.Context) error { _, err := js.KeyValue(ctx, "none"); return err }, jets.Gone, ""},
		"no such object": {func(ctx context.Context) error { _, err := js.ObjectStore(ctx, "none"); return err }, jets.Gone, ""},
		"no such key":    {func(ctx context.Context) error { _, err := bucket.Get(ctx, "none"); return err }, jets.Gone, ""},
		"key exists":     {func(ctx context.Context) error { _, err := bucket.Create(ctx, "there", nil); return err }, jets.Conflict, ""},
		"other revision": {func(ctx context.Context) error { _, err := bucket.Update(ctx, "there", nil, 9); return err }, jets.Conflict, ""},
		"odd key":        {func(ctx context.Context) error { _, err := bucket.Get(ctx, "a b"); return err }, jets.Invalid, ""},
		"no such consumer": {
			func(ctx context.Context) error { _, err := s.Consumer(ctx, "none"); return err }, jets.Gone, "",
		},
		"no such message": {func(ctx context.Context) error { _, err := s.GetMsg(ctx, 99); return err }, jets.Gone, ""},
		"stream of that name with another configuration": {func(ctx context.Context) error {
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"other"}})
			return err
		}, jets.Conflict, ""},
		"streams that reserve more than there is": {func(ctx context.Context) error {
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "BIG", MaxBytes: 1 << 30})
			return err
		}, jets.Limit, "max_file_store"},
		"replicas without a cluster": {func(ctx context.Context) error {
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "R3", Replicas: 3})
			return err
		}, jets.Limit, "nats.replicas = 1"},
		"too many consumers": {func(ctx context.Context) error {
			for _, name := range []string{"one", "two"} {
				_, err := js.CreateConsumer(ctx, "ONE", jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy})
				if err != nil {
					return err
				}
			}
			return nil
		}, jets.Limit, "delete unused consumers"},
		"closed connection": {func(ctx context.Context) error {
			_, err := closed.Publish(ctx, "s.a", nil)
			return err
		}, jets.Ended, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tc.request(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			wrapped := fmt.Errorf("outer: %w", jets.Explain("doing it", err))
			if got := jets.Classify(wrapped); got != tc.want || jets.Classify(err) != tc.want || !jets.Is(err, tc.want) {
				t.Errorf("%v: class %s, want %s", err, got, tc.want)
			}
			if !errors.Is(wrapped, err) || !strings.Contains(wrapped.Error(), "doing it") || !strings.Contains(wrapped.Error(), tc.says) {
				t.Errorf("%q does not say %q", wrapped, tc.says)
			}
			if tc.want == jets.Unavailable == tc.want.Refused() && tc.want != jets.Ended {
				t.Errorf("%s: refused %t", tc.want, tc.want.Refused())
			}
		})
	}
}

// TestClassesOfErrors covers answers that a single server on loopback does not give.
func TestClassesOfErrors(t *testing.T) {
	t.Parallel()
	api := func(status int, code jetstream.ErrorCode, text string) error {
		return &jetstream.APIError{Code: status, ErrorCode: code, Description: text}
	}
	for name, tc := range map[string]struct {
		err  error
		want jets.Class
	}{
		"none":                        {nil, ""},
		"somebody else's":             {errors.New("disk on fire"), jets.Unknown},
		"replicated conflict":         {api(400, 10164, "wrong last sequence"), jets.Conflict},
		"part of a batch known":       {api(400, 10201, "atomic publish batch contains duplicate message id"), jets.Conflict},
		"conflict not decided":        {api(503, 10163, "temporarily unavailable"), jets.Unavailable},
		"id being stored":             {api(409, 10158, "duplicate message id is in process"), jets.Unavailable},
		"ingest queue full":           {api(429, 10167, "too many requests"), jets.Full},
		"batches full":                {api(429, 10210, "atomic publish too many inflight"), jets.Full},
		"store fault":                 {api(503, 10077, "write /store/1.blk: no space left on device"), jets.Unavailable},
		"store full":                  {api(503, 10077, "maximum bytes exceeded"), jets.Full},
		"store: message too large":    {api(503, 10077, "message to large for the store: too large"), jets.TooLarge},
		"batch too large":             {api(400, 10199, "atomic publish batch is too large: 1001"), jets.TooLarge},
		"no atomic batches":           {api(400, 10174, "atomic publish is disabled"), jets.TooOld},
		"API level":                   {api(412, 10185, "JetStream minimum api level required"), jets.TooOld},
		"max_bytes required":          {api(400, 10113, "account requires max bytes"), jets.Limit},
		"no leader":                   {api(503, 10008, "JetStream system temporarily unavailable"), jets.Unavailable},
		"stream offline":              {api(500, 10194, "stream is offline: …"), jets.Unavailable},
		"not enabled for the account": {jetstream.ErrJetStreamNotEnabledForAccount, jets.Unavailable},
		"a code of a later server":    {api(400, 19999, "no idea"), jets.Invalid},
		"a later server's 503":        {api(503, 19999, "no idea"), jets.Unavailable},
		"a later server's 404":        {api(404, 19999, "no idea"), jets.Gone},
		"deadline":                    {fmt.Errorf("x: %w", context.DeadlineExceeded), jets.Unavailable},
		"canceled":                    {context.Canceled, jets.Ended},
		"disconnected":                {nats.ErrDisconnected, jets.Unavailable},
		"reconnecting":                {nats.ErrReconnectBufExceeded, jets.Unavailable},
		"permissions":                 {fmt.Errorf("%w: Permissions Violation for Publish to \"x\"", nats.ErrPermissionViolation), jets.Forbidden},
		"credentials":                 {nats.ErrAuthorization, jets.Forbidden},
		"object there already":        {jetstream.ErrObjectAlreadyExists, jets.Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := jets.Classify(tc.err); got != tc.want {
				t.Errorf("%v is %q, want %q", tc.err, got, tc.want)
			}
			if got := jets.Is(tc.err, tc.want); got != (tc.err != nil) {
				t.Errorf("Is(%v, %s) = %t", tc.err, tc.want, got)
			}
		})
	}
	if err := jets.Explain("x", nil); err != nil {
		t.Errorf("an error of nothing: %v", err)
	}
}

func TestDeniedNamesTheSubject(t *testing.T) {
	t.Parallel()
	js := connect(t, &server.Options{Users: []*server.User{{
		Username: "u", Password: "p",
		Permissions: &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{"allowed"}}},
	}}}, nats.UserInfo("u", "p"))

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := jets.Delete(ctx, js, "ONE", 1)
	if !jets.Is(err, jets.Forbidden) || !strings.Contains(err.Error(), "STREAM.MSG.DELETE.ONE") || !strings.Contains(err.Error(), "backburn acl") {
		t.Errorf("got %v", err)
	}
	if err := jets.Denied(js.Conn(), nil, "allowed"); err != nil {
		t.Errorf("another subject: %v", err)
	}
	if err := jets.Denied(js.Conn(), js.Conn().LastError(), "STREAM.MSG.DELETE.ONE"); err != nil {
		t.Errorf("a denial of an earlier request: %v", err)
	}
}

// TestOldDenialExplainsNothing makes a request without an answer after the server denied another
// one for the same bucket.
func TestOldDenialExplainsNothing(t *testing.T) {
	t.Parallel()
	ns := testkit.StartNATS(t, &server.Options{Users: []*server.User{
		{Username: "all", Password: "p"},
		{Username: "reader", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"$JS.API.STREAM.INFO.KV_b", "$JS.API.DIRECT.GET.>", "$JS.API.STREAM.MSG.GET.>"}},
		}},
	}})
	js := dial(t, ns.ClientURL(), nats.UserInfo("all", "p"))
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "b"}); err != nil {
		t.Fatal(err)
	}
	reader := dial(t, ns.ClientURL(), nats.UserInfo("reader", "p"))
	bucket, err := reader.KeyValue(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	kv := jets.NewKV[counter](reader, bucket)
	if _, err := kv.Set(t.Context(), "k", counter{1}, 0); !jets.Is(err, jets.Forbidden) {
		t.Fatalf("a denied write: %v", err)
	}

	if err := ns.DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := kv.Get(ctx, "k"); !jets.Is(err, jets.Unavailable) {
		t.Errorf("a read without an answer: %v", err)
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	js := connect(t, &server.Options{})
	stream(t, js, jetstream.StreamConfig{Name: "S", AllowDirect: true})
	const most = 1024
	for i := range most {
		if _, err := js.PublishAsync(fmt.Sprintf("s.%d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()

	if msgs, err := jets.Newest(t.Context(), js, "S", "s.*"); err != nil || len(msgs) != most {
		t.Errorf("%d messages, %v", len(msgs), err)
	}
	if msgs, err := jets.Newest(t.Context(), js, "S", "none.*"); err != nil || len(msgs) != 0 {
		t.Errorf("of no subject: %d messages, %v", len(msgs), err)
	}
	if _, err := js.Publish(t.Context(), "s.more", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := jets.Newest(t.Context(), js, "S", "s.*"); !jets.Is(err, jets.Invalid) {
		t.Errorf("of too many subjects: %v", err)
	}
}

// TestRetryOutlivesAnOutage publishes while the server is away.
func TestRetryOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ns := testkit.StartNATS(t, &server.Options{StoreDir: dir})
	lost := make(chan struct{}, 10)
	js := dial(t, ns.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { lost <- struct{}{} }))
	stream(t, js, jetstream.StreamConfig{Name: "S"})

	port := ns.Addr().(*net.TCPAddr).Port
	testkit.StopNATS(ns)
	<-lost
	published := make(chan error, 1)
	go func() {
		m := nats.NewMsg("s.a")
		m.Header.Set(nats.MsgIdHdr, "once")
		published <- jets.Retry(t.Context(), func(ctx context.Context) error {
			ack, err := js.PublishMsg(ctx, m)
			if err == nil && ack.Sequence != 1 {
				err = fmt.Errorf("sequence %d", ack.Sequence)
			}
			return err
		})
	}()
	testkit.StartNATS(t, &server.Options{StoreDir: dir, Port: port})
	if err := <-published; err != nil {
		t.Error(err)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	other := errors.New("other")
	for name, tc := range map[string]struct {
		answers []error // the last one again and again
		want    []error
		tries   int // 0: until the end
	}{
		"answered at once":       {[]error{nil}, nil, 1},
		"answered at last":       {[]error{nats.ErrTimeout, nats.ErrNoResponders, nil}, nil, 3},
		"another fault":          {[]error{nats.ErrTimeout, other}, []error{other}, 2},
		"a full stream":          {[]error{&jetstream.APIError{Code: 429, ErrorCode: 10167}}, []error{&jetstream.APIError{ErrorCode: 10167}}, 1},
		"never answered":         {[]error{nats.ErrTimeout}, []error{context.DeadlineExceeded, nats.ErrTimeout}, 0},
		"canceled while waiting": {[]error{context.Canceled}, []error{context.Canceled}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				tries := 0
				err := jets.Retry(ctx, func(ctx context.Context) error {
					if end, ok := ctx.Deadline(); !ok || time.Until(end) > jets.Attempt {
						t.Errorf("the attempt has until %v", end)
					}
					tries++
					return tc.answers[min(tries, len(tc.answers))-1]
				})
				if tc.want == nil && err != nil {
					t.Error(err)
				}
				for _, want := range tc.want {
					if !errors.Is(err, want) {
						t.Errorf("%v is not %v", err, want)
					}
				}
				// At most two seconds apart, plus up to half of that at random.
				if tc.tries != 0 && tries != tc.tries || tc.tries == 0 && tries < int(time.Hour/(3*time.Second)) {
					t.Errorf("%d tries", tries)
				}
			})
		})
	}
}

type counter struct {
	N int `json:"n"`
}

func TestKV(t *testing.T) {
	t.Parallel()
	js := connect(t, &server.Options{})
	bucket, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "b", LimitMarkerTTL: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	kv := jets.NewKV[counter](js, bucket)

	entry, err := kv.Get(t.Context(), "k")
	if err != nil || entry.Revision != 0 {
		t.Errorf("a key that is not there: %+v, %v", entry, err)
	}
	first, err := kv.Set(t.Context(), "k", counter{1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, revision := range map[string]uint64{"created again": 0, "another revision": first + 7} {
		if _, err := kv.Set(t.Context(), "k", counter{2}, revision); !jets.Is(err, jets.Conflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := kv.Set(t.Context(), "k", counter{3}, first); err != nil {
		t.Error(err)
	}
	if entry, err = kv.Get(t.Context(), "k"); err != nil || entry.Value.N != 3 || entry.Revision <= first {
		t.Errorf("got %+v, %v", entry, err)
	}

	if err := bucket.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if entry, err = kv.Change(t.Context(), "k", func(c *counter) bool { c.N++; return true }); err != nil || entry.Value.N != 1 {
		t.Errorf("over a removed key: %+v, %v", entry, err)
	}
	before := entry.Revision
	if entry, err = kv.Change(t.Context(), "k", func(c *counter) bool { c.N = 99; return false }); err != nil || entry.Revision != before {
		t.Errorf("left alone: %+v, %v", entry, err)
	}

	if _, err := bucket.PutString(t.Context(), "odd", "not JSON"); err != nil {
		t.Fatal(err)
	}
	odd, err := kv.Get(t.Context(), "odd")
	if !errors.Is(err, jets.ErrUnreadable) || odd.Revision == 0 || odd.Value.N != 0 {
		t.Errorf("unreadable: %+v, %v", odd, err)
	}
	if entry, err = kv.Change(t.Context(), "odd", func(c *counter) bool { c.N++; return true }); err != nil || entry.Value.N != 1 {
		t.Errorf("over an unreadable value: %+v, %v", entry, err)
	}
	if _, err := kv.Get(t.Context(), "a b"); !jets.Is(err, jets.Invalid) {
		t.Errorf("an odd key: %v", err)
	}
}

// TestKVChangesAddUp has many writers of one key.
func TestKVChangesAddUp(t *testing.T) {
	t.Parallel()
	js := connect(t, &server.Options{})
	bucket, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "b", LimitMarkerTTL: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	kv := jets.NewKV[counter](js, bucket)

	const writers, each = 8, 10
	var g errgroup.Group
	for range writers {
		g.Go(func() error {
			for range each {
				if _, err := kv.Change(t.Context(), "k", func(c *counter) bool { c.N++; return true }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}

	if entry, err := kv.Get(t.Context(), "k"); err != nil || entry.Value.N != writers*each {
		t.Errorf("got %+v, %v, want %d", entry, err, writers*each)
	}
}

func TestForbiddenBucketIsNamed(t *testing.T) {
	t.Parallel()
	ns := testkit.StartNATS(t, &server.Options{Users: []*server.User{
		{Username: "all", Password: "p"},
		{Username: "reader", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"$JS.API.STREAM.INFO.KV_b"}},
		}},
	}})
	js := dial(t, ns.ClientURL(), nats.UserInfo("all", "p"))
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "b"}); err != nil {
		t.Fatal(err)
	}

	reader := dial(t, ns.ClientURL(), nats.UserInfo("reader", "p"))
	bucket, err := reader.KeyValue(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jets.NewKV[counter](reader, bucket).Get(t.Context(), "k"); !jets.Is(err, jets.Forbidden) {
		t.Errorf("got %v", err)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	js := connect(t, &server.Options{})
	stream(t, js, jetstream.StreamConfig{Name: "S"})
	stream(t, js, jetstream.StreamConfig{Name: "KEPT", DenyDelete: true})
	for _, subject := range []string{"s.a", "s.a", "kept.a"} {
		if _, err := js.Publish(t.Context(), subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, sequence := range []uint64{1, 1, 2, 2, 99} { // again, and one that never existed
		if err := jets.Delete(ctx, js, "S", sequence); err != nil {
			t.Error(err)
		}
	}
	left, err := js.Stream(ctx, "S")
	if err != nil || left.CachedInfo().State.Msgs != 0 {
		t.Errorf("something is left: %v", err)
	}
	if err := jets.Delete(ctx, js, "KEPT", 1); !jets.Is(err, jets.Invalid) {
		t.Errorf("a stream that keeps its messages: %v", err)
	}
	if err := jets.Delete(ctx, js, "NONE", 1); !jets.Is(err, jets.Gone) {
		t.Errorf("no such stream: %v", err)
	}
}

// An error says once that there was no answer, and otherwise what the last answer was.
func TestGaveUp(t *testing.T) {
	t.Parallel()
	for want, last := range map[string]error{
		"no answer: publish: context deadline exceeded":             fmt.Errorf("publish: %w", context.DeadlineExceeded),
		"context deadline exceeded (nats: no response from stream)": nats.ErrNoStreamResponse,
		"context deadline exceeded (nats: no responders available)": errors.New("nats: no responders available"),
	} {
		if got := jets.GaveUp(context.DeadlineExceeded, last); got.Error() != want || !errors.Is(got, context.DeadlineExceeded) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
