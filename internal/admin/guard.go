package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// open are the paths that anybody who reaches the listener may ask for by any name: what
// load balancers and scrapers use, behind names that are theirs to choose.
var open = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}

// guard keeps the pages that a browser has open from reading this listener.
//
// A listener on a loopback address trusts whoever reaches it, and a browser on the same
// machine does, on behalf of every page it shows. A page of another origin can't read our
// answers, unless its host's name is made to resolve to 127.0.0.1 (DNS rebinding): then
// the browser takes us for that page's own server. Its requests still say the foreign name
// in Host, so on a loopback listener that must be a name of this machine. On any other
// address the names are the operator's to give, and are not judged.
//
// Requests that a browser marks as coming from another site (Sec-Fetch-Site) are refused for
// /api/, too: their pages could not read the answer, but could use up the places of a stream.
func guard(listen string, bound net.Addr, next http.Handler) http.Handler {
	own := hostOf(listen)
	local := isLoopback(hostOf(bound.String()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if open[r.URL.Path] {
			next.ServeHTTP(w, r)
			return
		}
		if host := hostOf(r.Host); local && host != own && !isLoopback(host) {
			http.Error(w, "this listener answers to names of this machine alone, such as "+bound.String(), http.StatusMisdirectedRequest)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/api/") && foreign(r.Header.Get("Sec-Fetch-Site")) {
			http.Error(w, "pages of other sites have no business here", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// foreign reports whether a browser says that a page of another origin asks. "none" is a
// person who typed the address; programs send nothing.
func foreign(site string) bool { return site != "" && site != "same-origin" && site != "none" }

// hostOf is the host of host:port, or of a host alone, lower-case and without brackets.
func hostOf(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	return strings.ToLower(strings.TrimSuffix(s, "."))
}

// isLoopback reports whether a host is this machine, whatever a name server says: an
// address of the loopback network, or localhost (RFC 6761, section 6.3).
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
