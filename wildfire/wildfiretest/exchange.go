package wildfiretest

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"backburn/wildfire"
)

// exchange is one call in progress. It is owned by the goroutine that serves the call.
type exchange struct {
	server *Server
	w      http.ResponseWriter
	r      *http.Request
	call   Call
	style  Style
	fault  Fault // fault to apply to the answer
	done   bool  // whether the call was answered or its connection closed
}

// run applies the faults and checks that all calls share, and calls the handler.
func (x *exchange) run(handle func()) {
	x.call.Token, x.call.UserAgent = bearer(x.r), x.r.UserAgent()
	if x.apply(x.server.faultFor(x.call.Op, x.call.Token, "", "")) {
		return
	}

	switch x.r.Method {
	case http.MethodPost:
	case http.MethodGet:
		if x.call.Op != wildfire.OpTestFile {
			x.refuse(http.StatusMethodNotAllowed, "")
			return
		}
	default:
		x.refuse(http.StatusMethodNotAllowed, "")
		return
	}

	handle()
}

// apply performs the part of a fault that precedes the call, and reports whether it ended the call.
func (x *exchange) apply(fault Fault) bool {
	if fault.none() {
		return false
	}

	x.style |= fault.Style
	x.fault = fault
	switch {
	case fault.Reset:
		_, _ = io.CopyN(io.Discard, x.r.Body, fault.ResetAfter)
		x.breakOff()

		return true
	case fault.Early:
		x.answerEarly(fault)
		return true
	case fault.Status != 0:
		x.refuse(fault.Status, fault.Message)
		return true
	}

	return false
}

// maxRest is how much of the rest of a refused body is read before the answer.
const maxRest = 256 << 20

// readRest reads the rest of a body, so that clients that read an answer only after they have sent
// everything get it. A client that waits for "100 Continue" sends nothing.
func readRest(r *http.Request) {
	if r.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, r.Body, maxRest)
	}
}

// refuse answers with an error, in the form that the fault specifies, if any.
func (x *exchange) refuse(status int, message string) {
	readRest(x.r)
	contentType, body := errorBody(status, message, x.fault.Body, x.style)
	if x.fault.RetryAfter != "" {
		x.w.Header().Set("Retry-After", x.fault.RetryAfter)
	}
	x.send(status, contentType, body)
}

// errorBody returns the body of an error and its content type. If text is "", the body has the
// service's own text.
func errorBody(status int, text string, form Body, style Style) (contentType string, body []byte) {
	if text == "" {
		text = message(status)
	}

	switch form {
	case EmptyBody:
		return "", nil
	case HTMLBody:
		return "text/html", []byte("<html>\r\n<head><title>" + strconv.Itoa(status) + " " + http.StatusText(status) +
			"</title></head>\r\n<body>\r\n<center><h1>" + text + "</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
	case JSONBody:
		return "application/json", []byte(`{"error":"` + text + `"}`)
	}

	return "text/xml", errorDocument(text, style)
}

// send sends the answer after the configured latency, unless the answer is to be lost.
func (x *exchange) send(status int, contentType string, body []byte) {
	if !x.wait() {
		return
	}

	if x.fault.LoseAnswer {
		x.breakOff()
		return
	}

	header := x.w.Header()
	switch {
	case x.style.has(NoContentType) || contentType == "":
		header["Content-Type"] = nil // otherwise net/http guesses one
	case contentType == "text/xml" && x.style.has(ApplicationXML):
		header.Set("Content-Type", "application/xml; charset=utf-8")
	default:
		header.Set("Content-Type", contentType)
	}

	if x.style.has(Chunked) && status == http.StatusOK {
		header.Set("Transfer-Encoding", "chunked")
	} else {
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}

	x.setReasonPhrase(status)
	x.finish(status)
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body)
}

// setReasonPhrase makes the connection replace the reason phrase that net/http will write.
func (x *exchange) setReasonPhrase(status int) {
	if status == http.StatusOK || !x.server.phrases {
		return
	}
	if conn, ok := x.r.Context().Value(connKey{}).(*phraseConn); ok {
		conn.next(status, Phrase(status))
	}
}

// wait waits for the latency, and reports whether the client is still connected.
func (x *exchange) wait() bool {
	latency := x.server.latency + x.fault.Latency
	if latency <= 0 {
		return true
	}

	timer := time.NewTimer(latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.r.Context().Done():
		x.finish(0)
		return false
	}
}

// answerEarly bypasses net/http, which would first read part of the body: it writes the answer
// directly and closes the connection.
func (x *exchange) answerEarly(fault Fault) {
	conn, buffered, err := http.NewResponseController(x.w).Hijack()
	if err != nil { // HTTP/2: answer as without Early
		x.refuse(fault.Status, fault.Message)
		return
	}
	defer conn.Close()
	x.finish(fault.Status)
	contentType, body := errorBody(fault.Status, fault.Message, fault.Body, x.style)
	head := "HTTP/1.1 " + strconv.Itoa(fault.Status) + " " + Phrase(fault.Status) + "\r\nConnection: close\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n"
	if contentType != "" {
		head += "Content-Type: " + contentType + "\r\n"
	}
	if fault.RetryAfter != "" {
		head += "Retry-After: " + fault.RetryAfter + "\r\n"
	}

	_, _ = buffered.WriteString(head + "\r\n")
	_, _ = buffered.Write(body)
	_ = buffered.Flush()
}

// breakOff closes the connection without an answer, with a TCP reset if possible.
func (x *exchange) breakOff() {
	x.finish(0)
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: resets the stream
	}
	if lingering, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = lingering.SetLinger(0)
	}
	_ = conn.Close()
}

// finish records the call, once.
func (x *exchange) finish(status int) {
	if x.done {
		return
	}
	x.done = true
	x.call.Status, x.call.Time = status, x.server.now()
	x.server.record(x.call)
}

// sendXML answers with a document of records, or with another 200 answer that the style selects.
func (x *exchange) sendXML(records ...element) {
	switch {
	case x.style.has(HTML200):
		x.send(http.StatusOK, "text/html", []byte("<html><body>Forbidden. (403)</body></html>\n"))
	case x.style.has(Error200):
		x.send(http.StatusOK, "text/xml", errorDocument("Invalid hash, has to be 32 or 64 bytes 0-9a-fA-F", x.style))
	case x.style.has(Empty200):
		x.send(http.StatusOK, "text/xml", nil)
	default:
		x.send(http.StatusOK, "text/xml", document(element{name: "wildfire", children: records}, x.style))
	}
}

// sendFile answers with an attachment.
func (x *exchange) sendFile(filename, contentType string, body []byte) {
	x.w.Header().Set("Content-Disposition", `attachment; filename="`+filename+`"`)
	x.send(http.StatusOK, contentType, body)
}
