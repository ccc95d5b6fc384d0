package httpserver

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"backburn/internal/loopback"
)

// guard protects a listener from web pages that a browser has open.
//
// In DNS rebinding, an attacker's host name resolves to this machine, and the browser treats the
// listener as the server of the attacker's page. Such requests have the attacker's name in Host, so
// Host must be one of our names. An IP address cannot be rebound; it is accepted if it is the
// connection's own.
//
// Requests that a browser marks as cross-site (Fetch Metadata) are refused, except links to pages.
// The other site could not read the response, but could use up limited resources.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.isHostAllowed(r) {
			s.opts.refuse(w, http.StatusMisdirectedRequest, "the name in Host is not allowed on this listener; add it to "+s.opts.Table+".names")
			return
		}
		if isCrossSite(r.Header.Get("Sec-Fetch-Site")) && !slices.Contains(s.opts.Links, r.URL.Path) {
			s.opts.refuse(w, http.StatusForbidden, "cross-site requests are not allowed")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isHostAllowed reports whether a request's Host is allowed. Browsers take every name below
// localhost for this machine (RFC 6761, section 6.3), so no other machine can have it.
func (s *Server) isHostAllowed(r *http.Request) bool {
	host := hostOf(r.Host)
	if loopback.Host(host) || strings.HasSuffix(host, ".localhost") || host != "" && host == hostOf(s.cfg.Listen) {
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

// isCrossSite reports whether the browser marks a request as coming from another origin. "none"
// means that a person entered the address; programs send no value.
func isCrossSite(site string) bool { return site != "" && site != "same-origin" && site != "none" }

// stripBasePath removes the base path from requests that have it.
func (s *Server) stripBasePath(next http.Handler) http.Handler {
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
