package cortex

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"backburn/auth/internal/oauth"
)

const (
	loginCookie = "backburn_login"
	maxCallback = 8 << 10 // bytes of a callback's query
)

// Handler serves two paths: StartPath, which starts an authorization and redirects the browser to
// the authorization server, and the path of redirect_url, to which the browser returns. It answers
// only requests for the host of redirect_url, which prevents DNS rebinding. Its pages contain
// nothing from a request.
func (l *Login) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(StartPath, l.serveStart)
	mux.HandleFunc(l.redirect.EscapedPath(), l.serveCallback)

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")

		host := oauth.HostPort(&url.URL{Scheme: l.redirect.Scheme, Host: r.Host})
		switch {
		case r.Method != http.MethodGet:
			writeText(w, http.StatusMethodNotAllowed, "Only GET is allowed.")
		case host != oauth.HostPort(l.redirect):
			writeText(w, http.StatusMisdirectedRequest, "This login is served under another host name.")
		case len(r.URL.RawQuery) > maxCallback:
			writeText(w, http.StatusRequestURITooLong, "The request is too long.")
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// serveStart begins a login and binds it to this browser by a cookie.
func (l *Login) serveStart(w http.ResponseWriter, r *http.Request) {
	session := rand.Text()
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure where the redirect is
		Name:     loginCookie,
		Value:    session,
		Path:     "/",
		MaxAge:   int(stateTTL / time.Second),
		HttpOnly: true,
		Secure:   l.redirect.Scheme == "https",
		SameSite: http.SameSiteLaxMode, // the callback comes from another site
	})
	http.Redirect(w, r, l.begin(session), http.StatusSeeOther)
}

// serveCallback finishes a login. The exchange continues if the browser disconnects, because a code
// can be used only once.
func (l *Login) serveCallback(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		writeText(w, http.StatusBadRequest, "The request cannot be read.")
		return
	}

	cookie, err := r.Cookie(loginCookie)
	if err != nil || cookie.Value == "" {
		l.config.Log.Warn().Msg("refused a callback without a login cookie")
		writeText(w, http.StatusForbidden, "This browser did not start this login. Start again.")

		return
	}

	_, err = l.complete(context.WithoutCancel(r.Context()), query, cookie.Value)
	switch {
	case err == nil:
		writeText(w, http.StatusOK, "Authorized. You can close this window.")
	case errors.Is(err, ErrState), errors.Is(err, ErrCallback):
		l.config.Log.Warn().Err(err).Msg("callback refused")
		writeText(w, http.StatusForbidden, "This login is unknown, used or expired. Start again.")
	default:
		writeText(w, http.StatusBadGateway, "Not authorized. The terminal shows the reason.")
	}
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}
