package httpserver

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// guard keeps the pages that a browser has open from using a listener.
//
// A browser on the way to a name that an attacker owns, and that resolves to us (DNS rebinding),
// takes us for that page's own server. Its requests say the foreign name in Host, so that must be
// one of ours. An address as Host cannot be rebound, and is taken where it is the one that the
// connection came to.
//
// Requests that a browser marks as another site's are refused (Fetch Metadata), but for links to
// pages: their pages could not read the answer, but could use up what there is a limit of.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.named(r) {
			s.use.refuse(w, http.StatusMisdirectedRequest, "this listener does not answer to the name in Host; "+s.use.Table+".names lists more")
			return
		}
		if foreign(r.Header.Get("Sec-Fetch-Site")) && !slices.Contains(s.use.Links, r.URL.Path) {
			s.use.refuse(w, http.StatusForbidden, "pages of other sites may not use this listener")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// named reports whether a request asks for a host that the listener answers to.
func (s *Server) named(r *http.Request) bool {
	host := hostOf(r.Host)
	if isLoopback(host) || host != "" && host == hostOf(s.cfg.Listen) {
		return true
	}
	for _, name := range s.cfg.Names {
		name = strings.ToLower(name)
		below, wild := strings.CutPrefix(name, "*")
		if host == name || wild && strings.HasSuffix(host, below) && host != below[1:] {
			return true
		}
	}
	addr, err := netip.ParseAddr(host)
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if err != nil || !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())

	return err == nil && at.Addr().Unmap().WithZone("") == addr.Unmap().WithZone("")
}

// foreign reports whether a browser says that a page of another origin asks. "none" is a
// person who typed the address; programs send nothing.
func foreign(site string) bool { return site != "" && site != "same-origin" && site != "none" }

// based takes the base path off a request that has it.
func (s *Server) based(next http.Handler) http.Handler {
	base := s.cfg.BasePath
	if base == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == base {
			http.Redirect(w, r, base+"/", http.StatusPermanentRedirect) // relative links need the slash
			return
		}
		if below, ok := strings.CutPrefix(r.URL.Path, base+"/"); ok {
			at := *r
			at.URL = new(url.URL)
			*at.URL = *r.URL
			at.URL.Path = "/" + below
			at.URL.RawPath = ""
			if raw, ok := strings.CutPrefix(r.URL.RawPath, base+"/"); ok {
				at.URL.RawPath = "/" + raw
			}
			r = &at
		}
		next.ServeHTTP(w, r)
	})
}
