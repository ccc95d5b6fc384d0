package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/redpanda-data/benthos/v4/public/components/io"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"

	"backburn/internal/testkit"
	"backburn/internal/testkit/logbuf"
)

const (
	program  = "redpanda-connect"
	document = "../../../docs/sinks.md"
	root     = "../../.."

	// recorded names the file that the stand-ins of outputs write to.
	recorded = "BACKBURN_TEST_RECORDS"
)

// TestMain runs Benthos if the program is called by the name in the document.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == program {
		registerOutputs(os.Getenv(recorded))
		service.RunCLI(context.Background())

		return
	}
	os.Exit(m.Run())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// registerOutputs adds outputs that Benthos lacks, with the fields that the pipelines use and the
// types in the vendor's documentation. They write to a file, and fail at their first event.
func registerOutputs(file string) {
	kafka := service.NewConfigSpec().Fields(
		service.NewStringListField("seed_brokers"),
		service.NewInterpolatedStringField("topic"),
		service.NewInterpolatedStringField("key").Optional(),
		service.NewMetadataFilterField("metadata").Optional(),
		service.NewStringEnumField("acks", "all", "none", "leader").Default("all"),
		service.NewBoolField("idempotent_write").Default(true),
		service.NewBoolField("allow_auto_topic_creation").Default(true),
		service.NewDurationField("record_delivery_timeout").Default("0s"),
	)
	s3 := service.NewConfigSpec().Fields(
		service.NewStringField("bucket"),
		service.NewStringField("region").Optional(),
		service.NewInterpolatedStringField("path"),
		service.NewInterpolatedStringField("content_type").Default("application/octet-stream"),
		service.NewDurationField("timeout").Default("5s"),
	)
	service.MustRegisterOutput("kafka_franz", kafka, func(c *service.ParsedConfig, _ *service.Resources) (service.Output, int, error) {
		headers, err := c.FieldMetadataFilter("metadata")
		brokers, err2 := c.FieldStringList("seed_brokers")
		r := &recorder{file: file, where: strings.Join(brokers, ","), headers: headers}

		return r, 1, errors.Join(err, err2, r.evaluate(c, "topic", "key"))
	})
	service.MustRegisterOutput("aws_s3", s3, func(c *service.ParsedConfig, _ *service.Resources) (service.Output, int, error) {
		bucket, err := c.FieldString("bucket")
		r := &recorder{file: file, where: bucket}

		return r, 1, errors.Join(err, r.evaluate(c, "path", "content_type"))
	})
}

// record is an event that an output received.
type record struct {
	Where  string            // brokers or bucket
	Values map[string]string // fields that are evaluated for each event
	Meta   map[string]string // metadata that becomes headers
	Body   string
}

// recorder is an output that writes a line for each event to a file.
type recorder struct {
	file    string
	where   string
	values  map[string]*service.InterpolatedString
	headers *service.MetadataFilter // nil if all metadata becomes headers
	failed  bool
}

func (r *recorder) evaluate(c *service.ParsedConfig, names ...string) error {
	r.values = map[string]*service.InterpolatedString{}
	for _, name := range names {
		v, err := c.FieldInterpolatedString(name)
		if err != nil {
			return err
		}
		r.values[name] = v
	}

	return nil
}

func (r *recorder) Connect(context.Context) error { return nil }

func (r *recorder) Close(context.Context) error { return nil }

func (r *recorder) Write(_ context.Context, m *service.Message) error {
	if !r.failed {
		r.failed = true
		return errors.New("away for a moment")
	}

	body, err := m.AsBytes()
	if err != nil {
		return err
	}

	got := record{Where: r.where, Values: map[string]string{}, Meta: map[string]string{}, Body: string(body)}
	for name, v := range r.values {
		if got.Values[name], err = v.TryString(m); err != nil {
			return err
		}
	}

	if r.headers == nil { // all metadata
		err = m.MetaWalk(func(k, v string) error { got.Meta[k] = v; return nil })
	} else {
		err = r.headers.Walk(m, func(k, v string) error { got.Meta[k] = v; return nil })
	}

	if err != nil {
		return err
	}

	line, err := json.Marshal(got)
	if err != nil {
		return err
	}

	f, err := os.OpenFile(r.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}

	_, err = f.Write(append(line, '\n'))

	return errors.Join(err, f.Close())
}

// pipeline is a pipeline of the examples, run by the document's commands.
type pipeline struct {
	t           *testing.T
	line        string
	env         []string
	listen      string // where Backburn delivers
	secretFile  string
	output      logbuf.Buffer
	stopRunning func()
}

const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

func newPipeline(t *testing.T, name string, changes ...string) *pipeline {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	must(t, err)
	must(t, os.Symlink(self, filepath.Join(dir, program)))
	p := &pipeline{t: t, listen: freeAddress(t), secretFile: secretFile(t, secret)}
	changes = append(changes, "/etc/backburn/connect.secret", p.secretFile)
	p.line = strings.NewReplacer(changes...).Replace(
		testkit.ShellLine(t, document, "export BACKBURN_SECRET_FILE=") + "\n" + documentedRun(t, name),
	)
	p.env = append(
		os.Environ(),
		"PATH="+dir+":"+os.Getenv("PATH"),
		"BACKBURN_LISTEN="+p.listen,
		"CONNECT_ADMIN="+freeAddress(t),
		recorded+"="+filepath.Join(dir, "records"),
	)
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", program, p.output.String())
		}
	})

	return p
}

// documentedRun returns the document's command that runs a pipeline.
func documentedRun(t *testing.T, name string) string {
	t.Helper()
	begins := map[string]string{"splunk": "SPLUNK_URL=", "elasticsearch": "ELASTIC_URL=", "kafka": "KAFKA_BROKERS=", "s3": "S3_BUCKET="}
	line := testkit.ShellLine(t, document, begins[name])
	if !strings.HasSuffix(line, " "+program+" run -r examples/connect/backburn.yaml examples/connect/"+name+".yaml") {
		t.Fatalf("the document runs %q", line)
	}

	return line
}

func (p *pipeline) command(line string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = root
	cmd.Env = p.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}

	return cmd
}

// start runs the pipeline until stop.
func (p *pipeline) start() {
	p.t.Helper()
	cmd := p.command(p.line)
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	must(p.t, cmd.Start())
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	p.stopRunning = func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		<-gone
	}
	testkit.Listening(p.t, program, p.listen, gone)
}

func (p *pipeline) stop() {
	if p.stopRunning != nil {
		p.stopRunning()
		p.stopRunning = nil
	}
}

// records returns the events that a stand-in for an output received.
func (p *pipeline) records() (all []record) {
	text, _ := os.ReadFile(strings.TrimPrefix(p.env[len(p.env)-1], recorded+"=")) // does not exist before the first one
	for line := range strings.Lines(string(text)) {
		var r record
		must(p.t, json.Unmarshal([]byte(line), &r))
		all = append(all, r)
	}

	return all
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(file, []byte(text+"\n"), 0o600))

	return file
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()

	return l.Addr().String()
}

// wait waits until a condition holds.
func wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(testkit.Patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

// Benthos accepts the files, and reports an unknown field.
func TestLint(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"splunk", "elasticsearch", "kafka", "s3"} {
		p := newPipeline(t, name)
		lint := strings.Replace(p.line, " run -r ", " lint -r ", 1)
		if out, err := p.command(lint).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}

		text, err := os.ReadFile(filepath.Join("..", name+".yaml"))
		must(t, err)
		wrong := filepath.Join(t.TempDir(), "wrong.yaml")
		changed := strings.Replace(string(text), "            retries: 0\n", "            retries: 0\n            nonsense: 1\n", 1)
		if changed == string(text) {
			changed += "    nonsense: 1\n"
		}

		must(t, os.WriteFile(wrong, []byte(changed), 0o600))
		lint = strings.Replace(lint, " examples/connect/"+name+".yaml", " "+wrong, 1)
		if out, err := p.command(lint).CombinedOutput(); err == nil || !strings.Contains(string(out), "nonsense") {
			t.Errorf("%s with nonsense: %v\n%s", name, err, out)
		}
	}
}
