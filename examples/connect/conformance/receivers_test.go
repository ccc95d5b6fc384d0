package conformance_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// next is a stand-in's answer to the next request, instead of storing the event.
type next struct {
	status int
	body   string
	cut    bool // the event is stored, and the connection ends before the answer
}

// receiver is a stand-in for Splunk or Elasticsearch. A request that the real service would reject
// is a test error.
type receiver struct {
	t   *testing.T
	url string
	// take reads a request, and returns its event's id and the event.
	take func(r *http.Request, body []byte) (id string, event map[string]any, err error)
	ok   func(repeated bool) string

	mu    sync.Mutex
	next  []next
	order []string // IDs of stored events, including repeats
	taken map[string]map[string]any
}

func (r *receiver) start() {
	r.taken = map[string]map[string]any{}
	srv := httptest.NewServer(r)
	r.t.Cleanup(srv.Close)
	r.url = srv.URL
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		r.t.Error(err)
	}

	id, event, err := r.take(req, body)
	if err != nil {
		r.t.Errorf("%v: %s %s %v\n%s", err, req.Method, req.URL, req.Header, body)
		w.WriteHeader(http.StatusBadRequest)

		return
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	var n next
	if len(r.next) > 0 {
		n, r.next = r.next[0], r.next[1:]
	}

	if n.status != 0 {
		if n.status/100 == 3 {
			w.Header().Set("Location", "/elsewhere")
		}

		w.WriteHeader(n.status)
		_, _ = io.WriteString(w, n.body)

		return
	}

	_, repeated := r.taken[id]
	r.order, r.taken[id] = append(r.order, id), event
	if n.cut {
		panic(http.ErrAbortHandler)
	}

	_, _ = io.WriteString(w, r.ok(repeated))
}

// answers sets the answers to the next requests, and returns the number of unused ones.
func (r *receiver) answers(list ...next) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = list
}

func (r *receiver) left() int {
	r.mu.Lock()
	defer r.mu.Unlock()

	return len(r.next)
}

// different returns the number of stored events without repeats.
func (r *receiver) different() int {
	r.mu.Lock()
	defer r.mu.Unlock()

	return len(r.taken)
}

// jobs returns the jobs of the stored events, in order.
func (r *receiver) jobs() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range r.order {
		data, _ := r.taken[id]["data"].(map[string]any)
		all = append(all, fmt.Sprint(data["job_id"]))
	}

	return all
}

// has waits until events of the jobs were stored, each as often as it is listed.
func (r *receiver) has(want ...string) {
	r.t.Helper()
	wait(r.t, fmt.Sprint("events of ", want), func() bool { return len(r.jobs()) >= len(want) })
	if got := r.jobs(); !reflect.DeepEqual(got, want) {
		r.t.Fatalf("%v, want %v", got, want)
	}
}

// one reads exactly one value of JSON.
func one(text string, v any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("more than one value: %v", err)
	}

	return nil
}

// splunk is the HTTP Event Collector's endpoint for events.
func splunk(t *testing.T) *receiver {
	r := &receiver{t: t, ok: func(bool) string { return `{"text":"Success","code":0}` }}
	r.take = func(req *http.Request, body []byte) (string, map[string]any, error) {
		var e struct {
			Time                     *float64
			Host, Source, SourceType string
			Event                    map[string]any
			Fields                   map[string]string
		}
		if err := one(string(body), &e); err != nil {
			return "", nil, err
		}

		want := "1772667015.25" // 2026-03-04T23:30:15.25Z
		if e.Time == nil || fmt.Sprintf("%.2f", *e.Time) != want || e.Host != "mail" || e.Source != e.Event["source"] || e.SourceType != "backburn:event" || e.Fields["webhook_id"] == "" {
			return "", nil, fmt.Errorf("not the envelope: %+v", e)
		}
		if req.Method != http.MethodPost || req.URL.Path != "/services/collector/event" || req.Header.Get("Authorization") != "Splunk hec-token" {
			return "", nil, fmt.Errorf("not to the collector")
		}

		return e.Fields["webhook_id"], e.Event, nil
	}
	r.start()

	return r
}

// elasticsearch is the bulk API. Like the real one, it refuses to "create" a document twice.
func elasticsearch(t *testing.T) *receiver {
	r := &receiver{t: t, ok: func(repeated bool) string {
		if repeated {
			return item(409)
		}

		return item(201)
	}}
	r.take = func(req *http.Request, body []byte) (string, map[string]any, error) {
		lines := strings.SplitAfter(string(body), "\n")
		if len(lines) != 3 || lines[2] != "" {
			return "", nil, fmt.Errorf("not two lines with their ends")
		}

		var action struct {
			Create struct {
				ID string `json:"_id"`
			} `json:"create"`
		}
		if err := one(lines[0], &action); err != nil || action.Create.ID == "" || len(action.Create.ID) > 512 {
			return "", nil, fmt.Errorf("action %+v: %v", action, err)
		}

		var document map[string]any
		if err := one(lines[1], &document); err != nil || document["@timestamp"] != "2026-03-04T23:30:15.25Z" {
			return "", nil, fmt.Errorf("document %v: %v", document, err)
		}
		if req.Method != http.MethodPost || req.URL.Path != "/logs-backburn-default/_bulk" || req.Header.Get("Authorization") != "ApiKey elastic-key" || req.Header.Get("Content-Type") != "application/x-ndjson" {
			return "", nil, fmt.Errorf("not to the bulk API")
		}

		return action.Create.ID, document, nil
	}
	r.start()

	return r
}

// item is the answer of the bulk API about one document.
func item(status int) string {
	return fmt.Sprintf(`{"took":1,"errors":%t,"items":[{"create":{"_index":"i","status":%d}}]}`, status >= 300, status)
}
