package watch_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/testkit/leaks"
	"backburn/pipeline"
	"backburn/pipeline/watch"
	"backburn/results"
)

// TestMain also serves as the program that tests start and kill.
func TestMain(m *testing.M) {
	if spec := os.Getenv("BACKBURN_WATCH_CHILD"); spec != "" {
		if err := childMain(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if name := os.Getenv("BACKBURN_WATCH_LEASE"); name != "" {
		holdLease(name)
		return
	}
	leaks.Main(m)
}

// childSpec configures a child.
type childSpec struct {
	Config          watch.Config
	State           string  // folder of the child's queue
	KillProbability float64 // probability of being killed at each step
	KillAtStep      string  // step at which the child is killed
	Refuse          bool    // publish nothing
	Check           bool    // add the result of watch.Check to the status
	Verdict         string  // verdict for every job; none if empty
}

// childMain watches a folder until it is interrupted. Its queue is a file.
func childMain(spec string) error {
	var s childSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(s.State, "jobs"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	defer log.Close()
	q := &fileQueue{spec: s, log: log, jobAdded: make(chan struct{}, 1)}
	reg := prometheus.NewRegistry()
	w, err := watch.New(s.Config, q, q, nil, watch.WithMetrics(reg), watch.WithLogger(zerolog.New(os.Stderr)))
	if err != nil {
		return err
	}
	if s.KillProbability > 0 || s.KillAtStep != "" {
		w.SetStep(func(step string) {
			if step == s.KillAtStep || rand.Float64() < s.KillProbability {
				killSelf()
			}
		})
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	// The parent requests the status with a line, and ends the child by closing its standard input.
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			st := childStatus{Status: w.Status(), RSS: residentPeak(), Metrics: map[string]float64{}}
			if s.Check {
				st.Findings = watch.Check(ctx, s.Config)
			}
			families, err := reg.Gather()
			for _, f := range families {
				if m := f.GetMetric(); err == nil && len(m) == 1 && m[0].GetCounter() != nil {
					st.Metrics[f.GetName()] = m[0].GetCounter().GetValue()
				}
			}
			json.NewEncoder(os.Stdout).Encode(st)
		}
		cancel()
	}()
	return w.Run(ctx)
}

// childStatus is the child's reply to a status request.
type childStatus struct {
	watch.Status
	RSS      int64 // bytes; maximum so far
	Metrics  map[string]float64
	Findings []watch.Finding
}

// residentPeak returns the peak memory of this process in bytes; 0 if unknown.
func residentPeak() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// fileQueue stores jobs in a file, one per line, and finishes each immediately. Another file has
// the position up to which outcomes have been handled.
type fileQueue struct {
	spec     childSpec
	mu       sync.Mutex
	log      *os.File
	jobAdded chan struct{}
}

// queuedJob is a job in the queue's file.
type queuedJob struct {
	ID  string
	Job pipeline.Job
}

func (q *fileQueue) Publish(_ context.Context, job pipeline.Job) error {
	if q.spec.Refuse {
		return pipeline.ErrFull
	}
	b, err := json.Marshal(queuedJob{job.ID, job})
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	// A kill can truncate a line at a page boundary. That line was never acknowledged, and the next
	// one starts with a line end.
	_, err = q.log.Write(append(append([]byte{'\n'}, b...), '\n'))
	select {
	case q.jobAdded <- struct{}{}:
	default:
	}
	return err
}

func (q *fileQueue) Follow(ctx context.Context, _, _ string, handle func(context.Context, results.Event) error) error {
	cursor := filepath.Join(q.spec.State, "cursor")
	offset := int64(0)
	if b, err := os.ReadFile(cursor); err == nil {
		offset, _ = strconv.ParseInt(string(b), 10, 64)
	}
	for q.spec.Verdict != "" {
		lines, err := readLines(filepath.Join(q.spec.State, "jobs"), offset)
		if err != nil {
			return err
		}
		for _, l := range lines {
			job := l.line.Job
			job.ID, job.Source = l.line.ID, q.spec.Config.Source
			if err := handle(ctx, verdict(job, q.spec.Verdict)); err != nil {
				return err
			}
			offset = l.end
			tmp := cursor + ".tmp"
			if err := os.WriteFile(tmp, fmt.Append(nil, offset), 0o666); err != nil {
				return err
			}
			if err := os.Rename(tmp, cursor); err != nil {
				return err
			}
		}
		if len(lines) > 0 {
			continue
		}
		select {
		case <-q.jobAdded:
		case <-ctx.Done():
			return nil
		}
	}
	<-ctx.Done()
	return nil
}

// jobLine is a line and its end offset.
type jobLine struct {
	line queuedJob
	end  int64
}

// readLines reads the jobs of a queue, starting at an offset.
func readLines(name string, offset int64) ([]jobLine, error) {
	b, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var l []jobLine
	for raw := range bytes.Lines(b[min(offset, int64(len(b))):]) {
		if !bytes.HasSuffix(raw, []byte("\n")) {
			break
		}
		offset += int64(len(raw))
		p := jobLine{end: offset}
		if json.Unmarshal(raw, &p.line) == nil {
			l = append(l, p)
		}
	}
	return l, nil
}

// child is a process that watches a folder.
type child struct {
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *bufio.Reader
	stderr bytes.Buffer
	ended  chan struct{} // closed when the process has ended
	err    error
}

// startChild starts a process. prepare may change the command.
func startChild(t testing.TB, spec childSpec, prepare ...func(*exec.Cmd)) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(exe), ended: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), "BACKBURN_WATCH_CHILD="+string(b), "GORACE=atexit_sleep_ms=0")
	c.cmd.Stderr = &c.stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stdin = in
	c.stdin = w
	c.stdout = bufio.NewReader(out)
	for _, p := range prepare {
		p(c.cmd)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	t.Cleanup(func() { c.kill() })
	return c
}

// status requests the child's status.
func (c *child) status(t testing.TB) childStatus {
	t.Helper()
	var st childStatus
	if _, err := c.stdin.WriteString("\n"); err != nil {
		t.Fatalf("%v: %s", err, c.stderr.String())
	}
	b, err := c.stdout.ReadBytes('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, c.stderr.String())
	}
	if err := json.Unmarshal(b, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// kill kills the child.
func (c *child) kill() {
	c.cmd.Process.Kill()
	<-c.ended
	c.stdin.Close()
}

// stop stops the child and waits until it has ended.
func (c *child) stop(t testing.TB) {
	t.Helper()
	c.stdin.Close()
	select {
	case <-c.ended:
	case <-time.After(testTimeout):
		t.Fatal("the watcher did not stop")
	}
	if c.err != nil {
		t.Fatalf("%v: %s", c.err, c.stderr.String())
	}
}
