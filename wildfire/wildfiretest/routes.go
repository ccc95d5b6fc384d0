package wildfiretest

import (
	"net/http"
	"strings"

	"backburn/wildfire"
)

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{server: s, w: w, r: r}
	s.mu.Lock()
	x.style = s.style
	s.mu.Unlock()
	switch r.URL.Path {
	case TokenPath, "/oauth2/access_token", "/auth/v1/oauth2/access_token":
		x.call.Op = OpToken
		x.run(x.serveToken)

		return
	}

	region, path, ok := strings.Cut(r.URL.Path, apiPrefix)
	if x.redirect(path) {
		return
	}

	if !ok {
		x.refuse(http.StatusNotFound, "")
		return
	}

	x.call.Region = regionOf(region, r.Host)
	if kind, ok := strings.CutPrefix(path, "test/"); ok {
		x.call.Op = wildfire.OpTestFile
		x.run(func() { x.serveTestFile(kind) })

		return
	}

	op := wildfire.Op(strings.TrimSuffix(path, "/"))
	handle, ok := operations[op]
	if !ok {
		x.refuse(http.StatusNotFound, "")
		return
	}

	x.call.Op = op
	x.run(func() { handle(x) })
}

// redirect redirects unencrypted calls to HTTPS, and requests for the root to the portal. It
// reports whether it redirected.
func (x *exchange) redirect(path string) bool {
	var location string
	switch {
	case x.server.httpsOnly && !encrypted(x.r) && !strings.HasPrefix(path, "test/"):
		location = "https://" + x.r.Host + "/"
	case x.r.URL.Path == "/":
		location = "/wildfire/dashboard"
	default:
		return false
	}

	x.w.Header().Set("Location", location)
	x.send(http.StatusFound, "", nil)

	return true
}

var operations = map[wildfire.Op]func(*exchange){
	wildfire.OpSubmitFile:         (*exchange).serveSubmitFile,
	wildfire.OpSubmitURL:          (*exchange).serveSubmitURL,
	wildfire.OpSubmitLink:         (*exchange).serveSubmitLink,
	wildfire.OpSubmitLinks:        (*exchange).serveSubmitLinks,
	wildfire.OpChangeRequest:      (*exchange).serveChangeRequest,
	wildfire.OpLocalVerdictChange: (*exchange).serveLocalVerdictChange,
	wildfire.OpVerdict:            (*exchange).serveVerdict,
	wildfire.OpVerdicts:           (*exchange).serveVerdicts,
	wildfire.OpVerdictsChanged:    (*exchange).serveVerdictsChanged,
	wildfire.OpReport:             (*exchange).serveReport,
	wildfire.OpSample:             (*exchange).serveSample,
	wildfire.OpPCAP:               (*exchange).servePCAP,
	wildfire.OpWebArtifacts:       (*exchange).serveWebArtifacts,
}

// regionOf returns the region of a call; "" is the default region.
func regionOf(prefix, host string) string {
	if region := strings.Trim(prefix, "/"); region != "" {
		return region
	}
	if label, rest, ok := strings.Cut(host, "."); ok && strings.HasPrefix(rest, "wildfire.") {
		return label
	}
	return ""
}
