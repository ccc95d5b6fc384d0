package wildfire_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// stallingClient returns a client with the test's transport, a stall limit of 30 s and an answer
// limit of 2 min.
func stallingClient(t *testing.T, transport roundTrip) *wildfire.Client {
	return client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
		cfg.Transport = transport
	})
}

// silentTransport simulates a transport with a silent connection.
func silentTransport(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestStalledTransferEnds: a transfer without progress ends, and its error says what it waited for
// and does not look like a cancellation by the caller.
func TestStalledTransferEnds(t *testing.T) {
	t.Parallel()
	submit := func(ctx context.Context, c *wildfire.Client) error {
		_, err := c.SubmitFile(ctx, file("a.exe", contents))
		return err
	}
	tests := map[string]struct {
		call      func(context.Context, *wildfire.Client) error
		transport roundTrip
		after     time.Duration
		says      string
		maybe     bool
	}{
		"connecting": {submit, silentTransport, 30 * time.Second, "30s while sending, after 0 bytes", false},
		"sending": {submit, func(r *http.Request) (*http.Response, error) {
			buffer := make([]byte, 4)
			for sent := 0; sent < 300; { // the form's head, and a part of the contents
				n, _ := r.Body.Read(buffer)
				sent += n
				if strings.Contains(string(buffer[:n]), "MZ") {
					break
				}

				time.Sleep(20 * time.Second) // slow, but not stalled
			}

			return silentTransport(r)
		}, 0, "while sending", false},
		"answering": {submit, func(r *http.Request) (*http.Response, error) {
			_, _ = io.Copy(io.Discard, r.Body)
			return silentTransport(r)
		}, 2 * time.Minute, "over the limit of 2m0s while waiting for the answer", true},
		"asking": {func(ctx context.Context, c *wildfire.Client) error {
			_, err := c.Verdict(ctx, anyHash)
			return err
		}, silentTransport, 2 * time.Minute, "over the limit of 2m0s while waiting for the answer", false},
		"an answer that trickles": {func(ctx context.Context, c *wildfire.Client) error {
			_, err := c.Verdict(ctx, anyHash)
			return err
		}, func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: &trickle{ctx: r.Context(), every: time.Second, left: 1000}}, nil
		}, 2 * time.Minute, "waiting for the answer", false},
		"downloading": {func(ctx context.Context, c *wildfire.Client) error {
			_, err := c.ReportPDF(ctx, anyHash, io.Discard)
			return err
		}, func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: &trickle{ctx: r.Context(), every: 20 * time.Second, left: 10, then: time.Hour}}, nil
		}, 10*20*time.Second + 30*time.Second, "30s while receiving, after 10 bytes", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := tt.call(t.Context(), stallingClient(t, tt.transport))
				if !errors.Is(err, wildfire.ErrStalled) || !errors.Is(err, wildfire.ErrTransport) || errors.Is(err, context.Canceled) {
					t.Fatalf("got %v, want ErrStalled and not a cancellation", err)
				}
				if !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %v, want it to say %q", err, tt.says)
				}
				if took := time.Since(began); tt.after != 0 && took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}

				var api *wildfire.APIError
				if !errors.As(err, &api) || api.MaybeDone != tt.maybe {
					t.Errorf("got %+v, want MaybeDone %v", api, tt.maybe)
				}
			})
		})
	}
}

// trickle is a body that returns one byte at a time, and then nothing for a long time.
type trickle struct {
	ctx         context.Context
	every, then time.Duration
	left        int
}

func (b *trickle) Read(p []byte) (int, error) {
	pause := b.every
	if b.left == 0 {
		pause = b.then
	}
	select {
	case <-time.After(pause):
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	b.left--
	p[0] = 'x'

	return 1, nil
}

func (*trickle) Close() error { return nil }

// TestBlockedFileEndsTheUpload: an upload whose file blocks ends with an error about the file, and
// closing the file unblocks the reader. The transport, like net/http, waits for the reader.
func TestBlockedFileEndsTheUpload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := file("a.exe", contents)
		reader, writer := io.Pipe()
		defer writer.Close()
		f.Open = func() (io.ReadCloser, error) { return reader, nil }
		c := stallingClient(t, func(r *http.Request) (*http.Response, error) {
			_, err := io.Copy(io.Discard, r.Body)
			return nil, err
		})
		began := time.Now()
		_, err := c.SubmitFile(t.Context(), f)
		if !errors.Is(err, wildfire.ErrStalled) || !strings.Contains(err.Error(), "reading the file") {
			t.Errorf("got %v, want a stall while reading the file", err)
		}
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("took %v, want the limit and no more", took)
		}
	})
}

// TestBlockedFileEndsTheUploadOverTheNetwork is the same test with net/http, which waits for the
// reader until closing the file unblocks it.
func TestBlockedFileEndsTheUploadOverTheNetwork(t *testing.T) {
	t.Parallel()
	for _, expect := range []int64{0, 1} {
		server := wildfiretest.New()
		c, _ := start(t, server, func(cfg *wildfire.Config) {
			cfg.StallTimeout, cfg.ExpectContinue = 50*time.Millisecond, expect
		})
		f := file("a.exe", contents)
		f.Open = func() (io.ReadCloser, error) {
			reader, _ := io.Pipe()
			return reader, nil
		}
		_, err := c.SubmitFile(t.Context(), f)
		if !errors.Is(err, wildfire.ErrStalled) || !strings.Contains(err.Error(), "reading the file") {
			t.Errorf("got %v, want a stall while reading the file", err)
		}
		if n := server.UploadCount(sha256Of(contents)); n != 0 {
			t.Errorf("%d uploads were counted, want none", n)
		}
	}
}

// TestCallReturnsThoughTheReaderStaysBlocked: closing the file does not unblock the reader. The
// call still returns, after the watchdog and after the caller's cancellation.
func TestCallReturnsThoughTheReaderStaysBlocked(t *testing.T) {
	t.Parallel()
	for _, cancelled := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		server := wildfiretest.New()
		c, _ := start(t, server, func(cfg *wildfire.Config) {
			if cfg.StallTimeout = 50 * time.Millisecond; cancelled {
				cfg.StallTimeout = 0
			}
		})
		unblock := make(chan struct{})
		f := file("a.exe", contents)
		f.Open = func() (io.ReadCloser, error) {
			if cancelled {
				cancel()
			}

			return io.NopCloser(hungReader{unblock}), nil
		}
		_, err := c.SubmitFile(ctx, f)
		if errors.Is(err, wildfire.ErrStalled) == cancelled || errors.Is(err, context.Canceled) != cancelled {
			t.Errorf("cancelled %v: got %v", cancelled, err)
		}

		close(unblock)
		cancel()
	}
}

// hungReader is a reader that blocks as on a lost file system, until that is unblock.
type hungReader struct{ unblock chan struct{} }

func (h hungReader) Read([]byte) (int, error) { <-h.unblock; return 0, io.ErrUnexpectedEOF }

// TestSlowUploadDoesNotStall: an upload that takes an hour, byte by byte, is not a stall.
func TestSlowUploadDoesNotStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := file("a.exe", strings.Repeat("x", 100))
		c := stallingClient(t, func(r *http.Request) (*http.Response, error) {
			buffer := make([]byte, 1)
			for {
				time.Sleep(29 * time.Second)
				if _, err := r.Body.Read(buffer); err != nil {
					break
				}
			}

			return (&answering{status: 200, body: "<wildfire/>"}).RoundTrip(r)
		})
		if got, err := c.SubmitFile(t.Context(), slow); err != nil || !got.Uncertain {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

// TestWithoutLimitsOnlyTheContextEndsACall: only the caller's context ends the call, and the error
// says so.
func TestWithoutLimitsOnlyTheContextEndsACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
			cfg.Transport = roundTrip(silentTransport)
			cfg.StallTimeout = 0
			cfg.AnswerTimeout = 0
		})
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		_, err := c.SubmitFile(ctx, file("a.exe", contents))
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, wildfire.ErrStalled) {
			t.Errorf("got %v, want the caller's deadline", err)
		}
	})
}

// TestCancelledUploadIsNotRepeated: a canceled upload is not repeated, although its connection
// broke in the middle.
func TestCancelledUploadIsNotRepeated(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New()
	c, _ := start(t, server, func(cfg *wildfire.Config) { cfg.ExpectContinue = 1 })
	ctx, cancel := context.WithCancel(t.Context())
	f, opened := zeroFile(64<<20), 0
	inner := f.Open
	f.Open = func() (io.ReadCloser, error) { opened++; return inner() }
	_, err := c.SubmitFile(ctx, f, wildfire.WithProgress(func(sent, _ int64) {
		if sent > 1<<20 {
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, wildfire.ErrTransport) {
		t.Errorf("got %v, want the cancellation", err)
	}
	if n := server.CountStatus(wildfire.OpSubmitFile, 200); n != 0 || opened != 1 {
		t.Errorf("%d uploads were accepted, the file was opened %d times", n, opened)
	}
}
