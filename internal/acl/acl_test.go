package acl_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/rs/zerolog"

	"backburn/auth/natsbucket"
	"backburn/internal/acl"
	"backburn/internal/app"
	"backburn/internal/natsconn"
	"backburn/internal/testkit"
	"backburn/internal/testkit/leaks"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/poller"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func TestMain(m *testing.M) { leaks.Main(m) }

const prefix = "backburn"

// site is a server with exactly the permissions that `backburn acl` prints.
type site struct {
	t       *testing.T
	s       *server.Server
	perms   map[string]acl.Permissions // by name of the user without the prefix
	domain  string                     // JetStream domain, if the server is a leaf node
	connect func(acl.Permissions) natsconn.Config
}

// mode is a way to give a server its users.
type mode struct {
	domain string
	start  func(t *testing.T, all []acl.Permissions) (*server.Server, func(acl.Permissions) natsconn.Config)
}

const hub = "hub" // a JetStream domain

// modes are the two ways that the server supports: a configuration file with passwords, and JWTs
// that an operator signs, with the server's default limits and an account that requires max_bytes;
// and the first of them on a leaf node, without JetStream and with its own.
var modes = map[string]mode{
	"configuration":            {"", withConfigFile},
	"operator":                 {"", withOperator},
	"leaf node":                {hub, onLeafNode(false)},
	"leaf node with JetStream": {hub, onLeafNode(true)},
}

// onLeafNode gives the users to a leaf node of a server that has the streams.
func onLeafNode(jetStream bool) func(*testing.T, []acl.Permissions) (*server.Server, func(acl.Permissions) natsconn.Config) {
	return func(t *testing.T, all []acl.Permissions) (*server.Server, func(acl.Permissions) natsconn.Config) {
		t.Helper()
		hubOptions := readConf(t, `
			leafnodes { listen: 127.0.0.1:-1, authorization { users: [{user: leaf, password: leaf, account: BACKBURN}] } }
			accounts { BACKBURN { jetstream: enabled } }`)
		hubOptions.ServerName = hub
		hubOptions.JetStreamDomain = hub
		testkit.StartNATS(t, hubOptions)

		opts := readConf(t, conf(t, all))
		opts.ServerName = "leaf"
		opts.Host = "127.0.0.1"
		opts.NoSigs = true
		opts.NoLog = true
		opts.JetStream = jetStream
		opts.JetStreamDomain = "leaf"
		opts.StoreDir = t.TempDir()
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(hubOptions.LeafNode.Port))
		remote := &url.URL{Scheme: "nats", User: url.UserPassword("leaf", "leaf"), Host: address}
		opts.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{remote}, LocalAccount: "BACKBURN"}}
		leaf, err := server.NewServer(opts)
		if err != nil {
			t.Fatal(err)
		}
		leaf.Start()
		t.Cleanup(func() { testkit.StopNATS(leaf) })
		if !leaf.ReadyForConnections(30 * time.Second) {
			t.Fatal("the leaf node did not start")
		}

		return leaf, withPassword(t, hub)
	}
}

func withConfigFile(t *testing.T, all []acl.Permissions) (*server.Server, func(acl.Permissions) natsconn.Config) {
	t.Helper()

	return testkit.StartNATS(t, readConf(t, conf(t, all))), withPassword(t, "")
}

// conf returns the users as the server's configuration, and sets the variables for its passwords.
func conf(t *testing.T, all []acl.Permissions) string {
	t.Helper()
	for _, p := range all {
		t.Setenv(acl.Variable(p.User), "pw-"+p.User)
	}

	var conf bytes.Buffer
	if err := acl.WriteConf(&conf, prefix, all...); err != nil {
		t.Fatal(err)
	}

	return conf.String()
}

// readConf returns the options of a configuration, with a random port.
func readConf(t *testing.T, text string) *server.Options {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatalf("the server does not read it: %v\n%s", err, text)
	}

	opts.Port = server.RANDOM_PORT

	return opts
}

// withPassword returns the configuration of a user's client.
func withPassword(t *testing.T, domain string) func(acl.Permissions) natsconn.Config {
	return func(p acl.Permissions) natsconn.Config {
		password := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(password, []byte("pw-"+p.User+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}

		return natsconn.Config{User: p.User, PasswordFile: password, Domain: domain}
	}
}

func withOperator(t *testing.T, all []acl.Permissions) (*server.Server, func(acl.Permissions) natsconn.Config) {
	t.Helper()
	operator := testkit.NewOperator(t)
	accounts := acl.Accounts(prefix, all...)
	byName, byUser := map[string]*testkit.Account{}, map[string]*testkit.Account{}
	for _, a := range accounts {
		byName[a.Name] = operator.NewAccount()
		for _, u := range a.Users {
			byUser[u.User] = byName[a.Name]
		}
	}

	for _, a := range accounts {
		byName[a.Name].Issue(func(c *jwt.AccountClaims) {
			if a.JetStream {
				c.Limits.JetStreamLimits = jwt.JetStreamLimits{
					DiskStorage:      32 << 30,
					MemoryStorage:    1 << 20,
					Streams:          20,
					Consumer:         100,
					MaxBytesRequired: true,
				}
			}

			for _, e := range a.Exports {
				response := jwt.ResponseType(jwt.ResponseTypeSingleton)
				if e.Stream {
					response = jwt.ResponseTypeStream
				}

				c.Exports.Add(&jwt.Export{Subject: jwt.Subject(e.Subject), Type: jwt.Service, ResponseType: response})
			}

			for _, i := range a.Imports {
				c.Imports.Add(&jwt.Import{
					Account:      byName[i.Account].Public,
					Subject:      jwt.Subject(i.Subject),
					LocalSubject: jwt.RenamingSubject(i.To),
					Type:         jwt.Service,
				})
			}
		})
	}

	opts := operator.Options()
	opts.JetStreamMaxStore = 64 << 30 // the default depends on the free space of the disk
	return testkit.StartNATS(t, opts), func(p acl.Permissions) natsconn.Config {
		return natsconn.Config{CredentialsFile: byUser[p.User].User(claims(p))}
	}
}

// claims gives a user the permissions.
func claims(p acl.Permissions) func(*jwt.UserClaims) {
	return func(c *jwt.UserClaims) {
		c.Name = p.User
		c.Pub.Allow.Add(p.Publish...)
		c.Sub.Allow.Add(p.Subscribe...)
	}
}

// allRoles has a user of each role, some with options.
func allRoles(t *testing.T, domain string) []acl.Permissions {
	t.Helper()
	var all []acl.Permissions
	for _, r := range []struct {
		role acl.Role
		o    acl.Options
	}{
		{acl.Gateway, acl.Options{Sources: []string{"mail"}}},
		{acl.Gateway, acl.Options{Sources: []string{"web"}, RawOnly: true}},
		{acl.Gateway, acl.Options{Sources: []string{"slow"}, NoUrgent: true}},
		{acl.Consumer, acl.Options{Durable: "siem"}},
		{acl.Watcher, acl.Options{Sources: []string{"quarantine"}}},
		{acl.Worker, acl.Options{}},
		{acl.Operator, acl.Options{}},
		{acl.API, acl.Options{Sources: []string{"proxy"}}},
	} {
		r.o.Prefix = prefix
		r.o.Domain = domain
		p, err := acl.For(r.role, r.o)
		if err != nil {
			t.Fatal(err)
		}

		all = append(all, p)
	}

	return all
}

func newSite(t *testing.T, make mode) *site {
	t.Helper()
	st := &site{t: t, perms: map[string]acl.Permissions{}, domain: make.domain}
	all := allRoles(t, make.domain)
	for _, p := range all {
		st.perms[strings.TrimPrefix(p.User, prefix+"-")] = p
	}
	st.s, st.connect = make.start(t, all)

	return st
}

// client is a connection of a role, with the server's permission errors.
type client struct {
	t      *testing.T
	user   string
	domain string
	nc     *nats.Conn
	js     jetstream.JetStream

	mu      sync.Mutex
	denials []string
}

func (st *site) as(user string) *client {
	st.t.Helper()
	p, ok := st.perms[user]
	if !ok {
		st.t.Fatalf("no user %s", user)
	}

	c := &client{t: st.t, user: user, domain: st.domain}
	cfg := st.connect(p)
	cfg.URL = st.s.ClientURL()
	nc, err := natsconn.Connect(st.t.Context(), cfg, "test", zerolog.Nop(), natsconn.Inbox(prefix, strings.TrimPrefix(p.Inbox, "_INBOX_"+prefix+"_")))
	if err != nil {
		st.t.Fatalf("%s: %v", user, err)
	}

	st.t.Cleanup(nc.Close)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			c.mu.Lock()
			c.denials = append(c.denials, err.Error())
			c.mu.Unlock()
		}
	})
	c.nc = nc
	if c.js, err = jetstream.New(nc); err == nil && p.API != "" {
		c.js, err = jetstream.NewWithAPIPrefix(nc, p.API)
	}
	if err != nil {
		st.t.Fatal(err)
	}

	return c
}

// expectNoDenials fails if the server has denied anything so far.
func (c *client) expectNoDenials() {
	c.t.Helper()
	if err := c.nc.FlushTimeout(10 * time.Second); err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.denials {
		c.t.Errorf("%s was denied: %s", c.user, r)
	}
}

// isDenied publishes, and reports whether the server denied it. An error arrives before the answer
// to a later ping.
func (c *client) isDenied(subject string) bool {
	c.t.Helper()
	if err := c.nc.Publish(subject, nil); err != nil {
		c.t.Fatal(err)
	}
	if err := c.nc.FlushTimeout(10 * time.Second); err != nil {
		c.t.Fatal(err)
	}
	err := c.nc.LastError() // the last error of the connection

	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), `"`+subject+`"`)
}

func (c *client) attach() *queue.Queue {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	q, err := queue.Attach(ctx, c.nc, c.domain, prefix)
	if err != nil {
		c.expectNoDenials()
		c.t.Fatalf("%s: %v", c.user, err)
	}

	return q
}

// makeDurable creates a consumer of events, as docs/events.md tells operators to.
func (c *client) makeDurable(ctx context.Context, name string) {
	c.t.Helper()
	_, err := c.js.CreateConsumer(ctx, "BACKBURN_RESULTS", jetstream.ConsumerConfig{
		Durable:        name,
		AckPolicy:      jetstream.AckExplicitPolicy,
		FilterSubjects: []string{"backburn.results.verdict.*.*", "backburn.results.failed.*.*"},
	})
	if err != nil {
		c.expectNoDenials()
		c.t.Fatal(err)
	}
}

func (c *client) topology() queue.Topology {
	return queue.Topology{
		Prefix:   prefix,
		Domain:   c.domain,
		Replicas: 1,
		Lease:    3 * time.Second,
		Results:  queue.EventLimits{MaxAge: 24 * time.Hour, MaxBytes: 64 << 20},
		Queue:    queue.QueueLimits{JobsMaxBytes: 64 << 20},
	}
}

// work runs a worker with the rights of one against a simulated WildFire.
func (st *site) work() *client {
	st.t.Helper()
	sim := wildfiretest.New(wildfiretest.WithDelay(20*time.Millisecond), wildfiretest.WithUnknownFor(0))
	web := sim.Start()
	st.t.Cleanup(web.Close)
	cfg := wildfire.DefaultConfig()
	cfg.BaseURL = web.URL
	wf, err := wildfire.New(cfg, wildfire.StaticToken("token"))
	if err != nil {
		st.t.Fatal(err)
	}

	st.t.Cleanup(wf.Close)
	c := st.as("worker")
	ctx, cancel := context.WithTimeout(st.t.Context(), 30*time.Second)
	defer cancel()
	q, err := queue.Open(ctx, c.nc, c.topology())
	if err != nil {
		c.expectNoDenials()
		st.t.Fatal(err)
	}

	pcfg := pipeline.DefaultConfig()
	pcfg.Rate = 0
	pcfg.UploadsPerDay = 0
	pcfg.QueriesPerDay = 0
	pcfg.Lease = 3 * time.Second
	pcfg.RetryMin = 10 * time.Millisecond
	pcfg.RetryMax = 50 * time.Millisecond
	pcfg.FirstPoll = 50 * time.Millisecond
	pcfg.MaxPoll = 200 * time.Millisecond
	pcfg.Recheck = time.Second
	w, err := worker.New(q, pcfg, wf, wf)
	if err != nil {
		st.t.Fatal(err)
	}

	wctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(wctx) }()
	st.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			st.t.Errorf("worker: %v", err)
		}
	})

	return c
}

func job(id, source, name string) pipeline.Job {
	return pipeline.Job{ID: id, Source: source, Priority: pipeline.Normal, Filename: name}
}

func contents(s string) (int64, func() (io.ReadCloser, error)) {
	return int64(len(s)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

// recheck asks WildFire again, as the operator's command does.
func (c *client) recheck(ctx context.Context, q *queue.Queue) {
	c.t.Helper()
	ask := poller.NewClient(q, fleet.NewPauses(q.Control(), time.Now, time.Second), nil, c.topology().Lease)
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- ask.Run(running) }()
	o := app.Operator{Queue: q, Who: results.Audit{By: "alice", Via: results.AuditCommand}, Ask: ask.Ask}
	if _, err := o.Recheck(ctx, strings.Repeat("0f", 32), ""); err != nil {
		c.t.Errorf("recheck: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		c.t.Error(err)
	}
}

// Each role can do all its work with its permissions.
func TestEveryRoleCanWork(t *testing.T) {
	for name, make := range modes {
		t.Run(name, func(t *testing.T) { everyRoleWorks(t, newSite(t, make)) })
	}
}

func everyRoleWorks(t *testing.T, st *site) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	worker := st.work()
	mail, web := st.as("gateway-mail"), st.as("gateway-web")
	watcher := st.as("watcher")
	operator := st.as("operator")
	httpAPI := st.as("api")
	consumer := st.as("consumer-siem")

	mail.submitsFiles(ctx)
	web.publishesRaw(ctx)
	watcher.watches(ctx)
	watcher.joins(ctx, "watcher")
	httpAPI.joins(ctx, "api")
	operator.makeDurable(ctx, "siem")
	consumer.reads(ctx, 5)
	operator.operates(ctx)
	operator.sharesTokens(ctx, worker)
	operator.seesReplay(ctx)
	httpAPI.serves(ctx)

	for _, c := range []*client{mail, web, watcher, operator, consumer, httpAPI, worker} {
		c.expectNoDenials()
	}
}

// submitsFiles submits a small file, a large one twice, and one that WildFire does not analyze, as
// a gateway.
func (c *client) submitsFiles(ctx context.Context) {
	c.t.Helper()
	in, err := queue.AttachPublisher(ctx, c.js, prefix)
	if err != nil {
		c.expectNoDenials()
		c.t.Fatal(err)
	}

	size, open := contents("MZ small malware")
	if _, err := in.Submit(ctx, job("small", "mail", "malware.exe"), queue.FromFile(size, open)); err != nil {
		c.t.Fatal(err)
	}

	size, open = contents("MZ" + strings.Repeat("large", 1<<19)) // 2.5 MB: more than fits into a message
	for range 2 {                                                // the second is a repeat, whose contents are sent again
		if _, err := in.Submit(ctx, job("large", "mail", "large.exe"), queue.FromFile(size, open)); err != nil {
			c.t.Fatal(err)
		}
	}

	size, open = contents("an unsupported type")
	if _, err := in.Submit(ctx, job("dead", "mail", "unsupported.xyz"), queue.FromFile(size, open)); err != nil {
		c.t.Fatal(err)
	}
}

// publishesRaw publishes contents as a plain message, as a gateway.
func (c *client) publishesRaw(ctx context.Context) {
	c.t.Helper()
	if _, err := c.js.PublishMsg(ctx, &nats.Msg{
		Subject: "backburn.jobs.urgent.web", Data: []byte("MZ raw"),
		Header: nats.Header{nats.MsgIdHdr: {"raw"}, queue.HeaderFilename: {"raw.exe"}},
	}); err != nil {
		c.t.Fatal(err)
	}
}

// watches submits a file and waits for its event, as a watcher.
func (c *client) watches(ctx context.Context) {
	c.t.Helper()
	q, err := queue.AttachOrOpen(ctx, c.nc, c.topology())
	if err != nil {
		c.expectNoDenials()
		c.t.Fatal(err)
	}

	size, open := contents("MZ" + strings.Repeat("watch", 1<<19))
	if _, err := q.Publisher().Submit(ctx, job("watched", "quarantine", "q.exe"), queue.FromFile(size, open)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := q.Objects().List(ctx, ""); err != nil {
		c.t.Error(err)
	}

	fctx, fstop := context.WithCancel(ctx)
	_ = q.Events().Outcomes("me").Follow(fctx, "quarantine", "folder", func(_ context.Context, e results.Event) error {
		if e.Data.JobID == "watched" {
			fstop()
		}

		return nil
	})
	if ctx.Err() != nil {
		c.t.Error("the watcher never saw its event")
	}

	fstop()
	unknown, err := q.Unknown(ctx, "quarantine", []string{"watched", "never"})
	if err != nil || !slices.Equal(unknown, []string{"never"}) {
		c.t.Errorf("the queue does not know %q: %v", unknown, err)
	}
}

// joins writes that the process is alive, and reads who else is.
func (c *client) joins(ctx context.Context, role string) {
	c.t.Helper()
	control := c.attach().Control()
	member := fleet.Join(control, c.topology().Lease, fleet.Process{Role: role})
	if err := member.Renew(ctx); err != nil {
		c.expectNoDenials()
		c.t.Fatalf("%s joins: %v", c.user, err)
	}

	members, err := fleet.Members(ctx, control)
	if err != nil || !slices.ContainsFunc(members, func(m fleet.Member) bool { return m.ID == member.ID() }) {
		c.t.Errorf("%s is no member: %v", c.user, err)
	}
}

// reads waits for the final events of the given number of jobs, as a consumer.
func (c *client) reads(ctx context.Context, jobs int) {
	c.t.Helper()
	seen := map[string]bool{}
	sub := results.NewSubscriber(c.js, results.SubscriberConfig{
		Prefix: prefix, Durable: "siem",
		Filter: results.Filter{Types: []results.Type{results.Verdict, results.Failed}},
	})
	err := sub.Run(ctx, func(_ context.Context, e results.Event) error {
		if seen[e.Data.JobID] = e.Type.Final(); len(seen) == jobs {
			return results.ErrStop
		}

		return nil
	})
	if err != nil {
		c.t.Errorf("consumer: %v", err)
	}
	if _, err := c.js.Stream(ctx, "BACKBURN_RESULTS"); err != nil { // as most clients begin
		c.t.Errorf("consumer: %v", err)
	}
}

// operates reads the queue, replays the dead letter, and checks a verdict again, as an operator.
func (c *client) operates(ctx context.Context) {
	c.t.Helper()
	q := c.attach()
	if _, err := q.Status(ctx, pipeline.DefaultConfig()); err != nil {
		c.t.Errorf("status: %v", err)
	}

	for _, id := range []string{"large", "dead", "nobody-knows"} {
		if _, err := q.Trace(ctx, queue.TraceQuery{Job: id}); err != nil {
			c.t.Errorf("trace: %v", err)
		}
	}

	n := 0
	for l, err := range q.Dead().All(ctx, queue.DeadFilter{}) {
		if err != nil {
			c.t.Fatal(err)
		}

		n++
		if _, err := (app.Operator{Queue: q, Who: results.Audit{By: "alice", Via: results.AuditCommand}}).Retry(ctx, l.Seq); err != nil {
			c.t.Errorf("replay: %v", err)
		}
	}

	c.recheck(ctx, q)
	if n != 1 {
		c.t.Errorf("%d dead letters, want 1", n)
	}
	if err := fleet.Charge(ctx, q.Control(), pipeline.Queries, 1, time.Now()); err != nil {
		c.t.Errorf("the queries of a verdict: %v", err)
	}
	if _, err := c.js.AccountInfo(ctx); err != nil {
		c.t.Errorf("doctor: %v", err)
	}
}

// sharesTokens uses the fleet's tokens and grants, whose buckets the worker creates.
func (c *client) sharesTokens(ctx context.Context, worker *client) {
	c.t.Helper()
	q := c.attach()
	for name, open := range map[string]func(js jetstream.JetStream) (*natsbucket.Bucket, error){
		"tokens": func(js jetstream.JetStream) (*natsbucket.Bucket, error) {
			return natsbucket.Tokens(ctx, js, q.TokensBucket(), 1, 0)
		},
		"grants": func(js jetstream.JetStream) (*natsbucket.Bucket, error) {
			return natsbucket.Grants(ctx, js, q.GrantsBucket(), 1)
		},
	} {
		if _, err := open(worker.js); err != nil { // creates it
			c.t.Fatal(err)
		}

		b, err := open(c.js)
		if err != nil {
			c.t.Errorf("%s: %v", name, err)
			continue
		}

		rev, err := b.Create(ctx, "profile", []byte("sealed"))
		if err == nil {
			rev, err = b.Update(ctx, "profile", []byte("sealed again"), rev)
		}
		if e, gerr := b.Get(ctx, "profile"); err != nil || gerr != nil || e.Revision != rev {
			c.t.Errorf("%s: %v, %v", name, err, gerr)
		}
		if updates, err := b.Watch(ctx, "profile"); err != nil || (<-updates).Revision != rev {
			c.t.Errorf("watch %s: %v", name, err)
		}
	}
}

// seesReplay waits for the final event of the replayed dead letter.
func (c *client) seesReplay(ctx context.Context) {
	c.t.Helper()
	sub := results.NewSubscriber(c.js, results.SubscriberConfig{Prefix: prefix, Filter: results.Filter{Types: []results.Type{results.Failed}}})
	err := sub.Run(ctx, func(_ context.Context, e results.Event) error {
		if e.Data.JobID == "dead~1" {
			return results.ErrStop
		}

		return nil
	})
	if err != nil {
		c.t.Errorf("the replayed job did not end: %v", err)
	}
}

// serves submits a file, repeats a submission, and looks jobs up, as the HTTP API.
func (c *client) serves(ctx context.Context) {
	c.t.Helper()
	q := c.attach()
	size, open := contents("MZ over HTTP")
	if _, err := q.CheckingPublisher().Submit(ctx, job("api", "proxy", "d.exe"), queue.FromFile(size, open)); err != nil {
		c.t.Errorf("api: %v", err)
	}
	if _, err := q.Ledger().Await(ctx, job("api", "proxy", "").Ref()); err != nil {
		c.t.Errorf("api: %v", err)
	}

	for range 2 { // the second time the ID is looked up
		if _, err := q.CheckingPublisher().Submit(ctx, job("keyed", "proxy", "k.exe"), queue.FromReader(strings.NewReader("MZ keyed"), 100)); err != nil {
			c.t.Fatal(err)
		}
	}

	for _, id := range []string{"api", "nobody-knows"} {
		if _, err := q.Trace(ctx, queue.TraceQuery{Job: id, Source: "proxy"}); err != nil {
			c.t.Errorf("api: %v", err)
		}
	}
}

// A watcher that starts first waits for a worker to create the queue, because it may not do so
// itself.
func TestWatcherWaitsForTheQueue(t *testing.T) {
	st := newSite(t, modes["configuration"])
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	watcher := st.as("watcher")
	attached := make(chan error, 1)
	go func() {
		_, err := queue.AttachOrOpen(ctx, watcher.nc, watcher.topology())
		attached <- err
	}()
	for { // it has tried to create it
		if err := watcher.nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
			break
		}

		select {
		case err := <-attached:
			t.Fatalf("without a queue: %v", err)
		case <-time.After(5 * time.Millisecond): // LastError gives no signal
		}
	}

	st.work()
	if err := <-attached; err != nil {
		t.Error(err)
	}
}

// Each role is denied everything else.
func TestRolesAreDeniedEverythingElse(t *testing.T) {
	st := newSite(t, modes["configuration"])
	st.work()
	api := "$JS.API."
	sealed := []string{ // only for the worker and the operator
		"$KV.backburn_tokens.x", "$KV.backburn_grants.x", api + "DIRECT.GET.KV_backburn_tokens.$KV.backburn_tokens.x",
		"backburn.requeue.normal.mail", "backburn.ledger.sample.x", "backburn.ledger.job.mail.x", "$KV.backburn_control.pause.uploads",
		"backburn.ask", "backburn.results.audit.pause._fleet",
	}
	shared := []string{ // only for the worker
		api + "STREAM.CREATE.BACKBURN_X", api + "STREAM.DELETE.BACKBURN_RESULTS", api + "STREAM.PURGE.BACKBURN_RESULTS", api + "STREAM.PURGE.BACKBURN_DEAD",
		api + "STREAM.UPDATE.BACKBURN_JOBS", api + "CONSUMER.MSG.NEXT.BACKBURN_JOBS.lane-normal-mail", api + "CONSUMER.DELETE.BACKBURN_JOBS.lane-normal-mail",
		"$KV.backburn_control.leader", "backburn.results.audit.pause.mail",
		"backburn.results.verdict.benign.mail", "backburn.dead.rejected.mail", "backburn.requeue.a.b.c",
		api + "STREAM.LIST", api + "STREAM.NAMES", "_INBOX.x", "_INBOX_backburn_worker.x",
	}
	reading := []string{
		api + "CONSUMER.CREATE.BACKBURN_RESULTS.x", api + "CONSUMER.MSG.NEXT.BACKBURN_RESULTS.x", api + "STREAM.MSG.GET.BACKBURN_RESULTS",
		api + "DIRECT.GET.BACKBURN_RESULTS", api + "CONSUMER.CREATE.BACKBURN_DEAD.x", api + "STREAM.MSG.GET.BACKBURN_DEAD",
		api + "CONSUMER.CREATE.OBJ_backburn_files.x.$O.backburn_files.C.y", api + "DIRECT.GET.OBJ_backburn_files", api + "STREAM.MSG.GET.OBJ_backburn_files",
		api + "CONSUMER.CREATE.BACKBURN_LEDGER.x.backburn.ledger.>", api + "DIRECT.GET.BACKBURN_LEDGER.backburn.ledger.sample.x", "backburn.ledger.sample.x",
	}
	for user, forbidden := range map[string][]string{
		"gateway-mail": append([]string{"backburn.jobs.normal.web", "backburn.jobs.normal.mail.x", "$JS.ACK.BACKBURN_JOBS.lane-normal-mail.1.1.1.1.1"}, reading...),
		"gateway-web":  append([]string{"backburn.jobs.normal.mail", "$O.backburn_files.M.x", "$O.backburn_files.C.x", api + "STREAM.PURGE.OBJ_backburn_files"}, reading...),
		"gateway-slow": {"backburn.jobs.urgent.slow", "backburn.jobs.normal.mail"},
		"consumer-siem": {
			"backburn.jobs.normal.mail", "$O.backburn_files.M.x", "backburn.ledger.sample.x", api + "STREAM.MSG.GET.BACKBURN_DEAD",
			api + "CONSUMER.CREATE.BACKBURN_RESULTS.other", api + "CONSUMER.CREATE.BACKBURN_RESULTS.siem",
			api + "CONSUMER.CREATE.BACKBURN_RESULTS.siem.backburn.results.>", api + "CONSUMER.DURABLE.CREATE.BACKBURN_RESULTS.siem",
			api + "CONSUMER.MSG.NEXT.BACKBURN_RESULTS.other", api + "CONSUMER.INFO.BACKBURN_RESULTS.other",
			api + "CONSUMER.DELETE.BACKBURN_RESULTS.siem", api + "CONSUMER.DELETE.BACKBURN_RESULTS.other",
			api + "CONSUMER.PAUSE.BACKBURN_RESULTS.siem", api + "CONSUMER.LIST.BACKBURN_RESULTS", "$JS.ACK.BACKBURN_RESULTS.other.1.1.1.1.1",
			api + "DIRECT.GET.BACKBURN_RESULTS", api + "STREAM.MSG.GET.BACKBURN_RESULTS", api + "STREAM.INFO.BACKBURN_JOBS",
		},
		"watcher":  {"backburn.jobs.normal.mail", "backburn.ledger.sample.x", api + "STREAM.MSG.DELETE.BACKBURN_DEAD"},
		"operator": {"$KV.backburn_control.worker.x", "$KV.backburn_tokens_x.y", api + "STREAM.PURGE.KV_backburn_grants", api + "STREAM.DELETE.KV_backburn_tokens"},
		"api":      {"backburn.jobs.normal.mail", "backburn.ledger.sample.x", api + "STREAM.MSG.DELETE.BACKBURN_DEAD"},
	} {
		c := st.as(user)
		if user != "operator" {
			forbidden = append(forbidden, sealed...)
		}

		for _, subject := range append(forbidden, shared...) {
			if !c.isDenied(subject) {
				t.Errorf("%s may publish to %s", user, subject)
			}

			if rest, ok := strings.CutPrefix(subject, api); ok && st.perms[user].API != "" {
				if other := st.perms[user].API + "." + rest; !c.isDenied(other) {
					t.Errorf("%s may publish to %s", user, other)
				}
			}
		}

		for _, subject := range []string{">", "_INBOX.>", "backburn.>", "backburn.results.>", "$JS.API.>", "_INBOX_backburn_worker.>", "$KV.>"} {
			sub, err := c.nc.SubscribeSync(subject)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sub.NextMsg(10 * time.Second); !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s may subscribe to %s: %v", user, subject, err)
			}
		}
	}

	w := st.as("worker")
	for _, subject := range []string{"other.jobs.normal.mail", api + "STREAM.CREATE.OTHER", api + "STREAM.DELETE.BACKBURN_RESULTS", api + "STREAM.DELETE.BACKBURN_DEAD", api + "STREAM.PURGE.BACKBURN_DEAD", "$SYS.REQ.SERVER.PING"} {
		if !w.isDenied(subject) {
			t.Errorf("the worker may publish to %s", subject)
		}
	}
}

// The server delivers to any reply subject of a pull request. This test shows what a consumer can
// do with that, as described in docs/security.md: an event that lands in JOBS keeps its own
// subject, which no lane reads, so it does not become a job; and requests to the server cannot be
// made this way.
func TestReplySubjectsOfAConsumer(t *testing.T) {
	st := newSite(t, modes["configuration"])
	worker := st.work()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	gw := st.as("gateway-web")
	submit := func(id string) {
		t.Helper()
		if _, err := gw.js.PublishMsg(ctx, &nats.Msg{
			Subject: "backburn.jobs.urgent.web", Data: []byte("MZ raw"),
			Header: nats.Header{nats.MsgIdHdr: {id}, queue.HeaderFilename: {"raw.exe"}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	c := st.as("consumer-siem")
	final := func(id string) {
		t.Helper()
		sub := results.NewSubscriber(st.as("operator").js, results.SubscriberConfig{Prefix: prefix})
		err := sub.Run(ctx, func(_ context.Context, e results.Event) error {
			if e.Data.Error != nil {
				return fmt.Errorf("an event became a job: %+v", e.Data)
			}
			if e.Data.JobID == id && e.Type.Final() {
				return results.ErrStop
			}

			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	submit("first")
	final("first")
	st.as("operator").makeDurable(ctx, "siem")
	cons, err := c.js.Consumer(ctx, "BACKBURN_RESULTS", "siem")
	if err != nil {
		t.Fatal(err)
	}

	before := streams(t, ctx, worker)
	// Two events, and then the empty status message that there are no more.
	for _, reply := range []string{"$JS.API.STREAM.PURGE.BACKBURN_RESULTS", "$JS.API.STREAM.DELETE.BACKBURN_RESULTS", "$JS.API.STREAM.DELETE.BACKBURN_JOBS", "$JS.API.STREAM.DELETE.BACKBURN_JOBS"} {
		if err := c.nc.PublishRequest("backburn.api.CONSUMER.MSG.NEXT.BACKBURN_RESULTS.siem", reply, []byte(`{"batch":1,"no_wait":true}`)); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := cons.Info(ctx); err != nil { // a request whose answer arrives after those
		t.Fatal(err)
	}
	if after := streams(t, ctx, worker); after != before {
		t.Errorf("the server executed a delivery:\nbefore %s\nafter  %s", before, after)
	}

	submit("second")
	final("second")
	if err := c.nc.PublishRequest("backburn.api.CONSUMER.MSG.NEXT.BACKBURN_RESULTS.siem", "backburn.jobs.normal.mail", []byte(`{"batch":1,"expires":10000000000}`)); err != nil {
		t.Fatal(err)
	}

	submit("third")
	final("third") // neither refused nor treated as a job
}

// A consumer that could create its own durable would choose where the server delivers, including
// heartbeats: an empty status message can delete a stream. So it is denied.
func TestConsumerCannotCreateItsDurable(t *testing.T) {
	st := newSite(t, modes["configuration"])
	worker := st.work()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	before := streams(t, ctx, worker)
	c := st.as("consumer-siem")
	for _, deliver := range []string{"$JS.API.STREAM.DELETE.BACKBURN_JOBS", "$JS.API.STREAM.PURGE.BACKBURN_DEAD"} {
		create := `{"stream_name":"BACKBURN_RESULTS","config":{"name":"siem","durable_name":"siem","deliver_subject":"` + deliver +
			`","ack_policy":"none","idle_heartbeat":100000000}}`
		for _, subject := range []string{
			"backburn.api.CONSUMER.CREATE.BACKBURN_RESULTS.siem", "backburn.api.CONSUMER.DURABLE.CREATE.BACKBURN_RESULTS.siem",
		} {
			short, end := context.WithTimeout(ctx, 500*time.Millisecond)
			answer, err := c.nc.RequestWithContext(short, subject, []byte(create))
			end()
			if err == nil {
				t.Errorf("%s: the server answered %s", subject, answer.Data)
			}
		}
	}

	if after := streams(t, ctx, worker); after != before {
		t.Errorf("the server executed a delivery:\nbefore %s\nafter  %s", before, after)
	}
}

// TestCredentialsFitIntoALine signs every role's permissions, with long names, and connects to a
// server with default limits.
func TestCredentialsFitIntoALine(t *testing.T) {
	t.Parallel()
	operator := testkit.NewOperator(t)
	account := operator.NewAccount()
	account.Issue(nil)
	ns := testkit.StartNATS(t, operator.Options())
	const maxJWT = 3 << 10 // of the 4 KiB that a server reads
	long := strings.Repeat("n", 16)
	for _, role := range acl.Roles() {
		for name, o := range map[string]acl.Options{
			"":            {Prefix: prefix},
			"in a domain": {Prefix: prefix, Domain: "hub"},
		} {
			t.Run(string(role)+" "+name, func(t *testing.T) {
				t.Parallel()
				switch role {
				case acl.Gateway, acl.API, acl.Watcher:
					o.Sources = []string{long}
				case acl.Consumer:
					o.Durable = long
				}

				p, err := acl.For(role, o)
				if err != nil {
					t.Fatal(err)
				}

				file := account.User(claims(p))
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}

				token, err := nkeys.ParseDecoratedJWT(text)
				if err != nil || name == "" && len(token) > maxJWT {
					t.Errorf("a JWT of %d bytes, want at most %d: %v", len(token), maxJWT, err)
				}

				nc, err := natsconn.Connect(t.Context(), natsconn.Config{URL: ns.ClientURL(), CredentialsFile: file}, "test", zerolog.Nop())
				if err != nil {
					t.Fatalf("with a JWT of %d bytes: %v", len(token), err)
				}

				nc.Close()
				t.Logf("JWT of %d bytes", len(token))
			})
		}
	}
}

// streams returns the state of the streams that no role may change.
func streams(t *testing.T, ctx context.Context, c *client) string {
	t.Helper()
	out := ""
	for _, name := range []string{"BACKBURN_JOBS", "BACKBURN_RESULTS", "BACKBURN_DEAD"} {
		s, err := c.js.Stream(ctx, name)
		if err != nil {
			t.Fatalf("stream %s: %v", name, err)
		}
		out += fmt.Sprintf("%s %d ", name, s.CachedInfo().State.Msgs)
	}

	return out
}

func TestFor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		role acl.Role
		o    acl.Options
		want string
	}{
		"no source":       {acl.Gateway, acl.Options{}, "--source"},
		"two sources":     {acl.Gateway, acl.Options{Sources: []string{"a", "b"}}, "exactly one"},
		"wildcard":        {acl.Gateway, acl.Options{Sources: []string{"*"}}, "expected 1 to 32"},
		"no folders":      {acl.Watcher, acl.Options{}, "--source"},
		"invalid durable": {acl.Consumer, acl.Options{Durable: "a.>"}, "1 to 32"},
		"no durable":      {acl.Consumer, acl.Options{}, "--durable"},
		"no such role":    {"admin", acl.Options{}, "expected one of"},
		"empty source":    {acl.API, acl.Options{Sources: []string{""}}, "expected 1 to 32"},
		"watcher's dot":   {acl.Watcher, acl.Options{Sources: []string{"a.b"}}, "expected 1 to 32"},
	} {
		tc.o.Prefix = prefix
		if _, err := acl.For(tc.role, tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want a text with %q", name, err, tc.want)
		}
	}
}
