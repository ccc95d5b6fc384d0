package sink_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"backburn/internal/sink"
)

// resetConn is a connection that ends with a reset.
type resetConn struct{ net.Conn }

func (c resetConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, io.EOF) {
		err = syscall.ECONNRESET
	}
	return n, err
}

// link says what a receiver does with one connection: it reads some messages, and then closes or
// resets the connection, or stalls.
type link struct {
	reads  int // -1: all
	resets bool
	stalls bool
}

// receive returns a syslog target whose connections are links, and the jobs that arrive.
func receive(t *testing.T, links ...link) (s *sink.Syslog, jobs func() []string) {
	s = newSyslog(t, "192.0.2.1:514", sink.SyslogTCP, nil)
	arrived := make(chan string, 1000)
	s.SetDial(func(context.Context, string, string) (net.Conn, error) {
		if len(links) == 0 {
			return nil, errors.New("no more connections")
		}
		l := links[0]
		links = links[1:]
		client, server := net.Pipe()
		go func() {
			r := bufio.NewReader(server)
			for n := 0; n != l.reads; n++ {
				length, err := r.ReadString(' ')
				if err != nil {
					break
				}
				size, _ := strconv.Atoi(strings.TrimSpace(length))
				text := make([]byte, size)
				if _, err := io.ReadFull(r, text); err != nil {
					break
				}
				_, id, _ := strings.Cut(string(text), `"job_id":"`)
				id, _, _ = strings.Cut(id, `"`)
				arrived <- id
			}
			if l.stalls {
				return
			}
			time.Sleep(time.Second)
			server.Close()
		}()
		if l.resets {
			return resetConn{client}, nil
		}
		return client, nil
	})

	return s, func() []string {
		var list []string
		for len(arrived) > 0 {
			list = append(list, <-arrived)
		}
		return list
	}
}

// sendJob makes one attempt to send an event with a timeout of 10s.
func sendJob(t *testing.T, s *sink.Syslog, id string) error {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return s.Send(ctx, message(t, event(id)))
}

// Messages that a broken connection may have lost are sent again, whatever happens to the next
// connections.
func TestSyslogRepeatsSurviveFurtherBreaks(t *testing.T) {
	t.Parallel()
	const all = -1
	for name, tc := range map[string]struct {
		links  []link // the first one takes the first three messages
		pause  time.Duration
		missed string
	}{
		"a minute of resets": {[]link{{3, true, false}, {0, true, false}, {all, true, false}}, time.Minute, ""},
		"closed between":     {[]link{{3, true, false}, {1, false, false}, {all, true, false}}, 0, "a"}, // closed after it had read a
		"slow":               {[]link{{3, true, false}, {1, true, true}, {1, true, true}, {1, true, true}, {1, true, true}, {all, true, false}}, 0, "a"},
		"resets at each new": {slices.Repeat([]link{{3, true, false}}, 30), 0, "abc"}, // a, b and c are given up
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, jobs := receive(t, tc.links...)
				for _, id := range []string{"a", "b", "c"} {
					if err := sendJob(t, s, id); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if got := jobs(); !slices.Equal(got, []string{"a", "b", "c"}) {
					t.Fatalf("first %q", got)
				}
				err := errors.New("not sent")
				var last []string
				for attempt := 0; err != nil; attempt++ {
					if attempt > 20 {
						t.Fatal(err)
					}
					time.Sleep(tc.pause)
					jobs()
					err = sendJob(t, s, "d")
					synctest.Wait()
					last = jobs()
				}
				for _, id := range []string{"a", "b", "c", "d"} {
					if !slices.Contains(last, id) && !strings.Contains(tc.missed, id) {
						t.Errorf("the last connection got %q, without %s", last, id)
					}
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Minute) // until the receivers have ended
			})
		})
	}
}
