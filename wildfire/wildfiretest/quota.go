package wildfiretest

import (
	"maps"
	"net/http"
	"time"

	"backburn/wildfire"
)

// Spent returns the uploads and queries that a credential has used today; the credential is a
// token, an API key, or a client id of the token service.
func (s *Server) Spent(credential string) (uploads, queries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kind := range []string{"token:", "key:", "client:"} {
		if u := s.spent[kind+credential]; u != nil && u.day == s.today() {
			uploads += u.uploads
			queries += u.queries
		}
	}

	return uploads, queries
}

// SetQuota changes the daily quotas. Calls already made still count.
func (s *Server) SetQuota(uploads, queries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploadQuota, s.queryQuota = uploads, queries
}

// today returns the quota's day, which begins at midnight UTC plus the lag.
func (s *Server) today() string { return s.now().Add(-s.resetLag).UTC().Format(time.DateOnly) }

// usageOf returns today's usage of an owner. The mutex is held.
func (s *Server) usageOf(owner string) *usage {
	today := s.today()
	u := s.spent[owner]
	if u == nil || u.day != today {
		if len(s.spent) > maxTokens { // bound the memory
			maps.DeleteFunc(s.spent, func(_ string, u *usage) bool { return u.day != today })
		}
		if len(s.spent) > maxTokens {
			clear(s.spent)
		}

		u = &usage{day: today}
		s.spent[owner] = u
	}

	return u
}

// withinQuota reports whether a credential may make another call.
func (s *Server) withinQuota(owner string, op wildfire.Op) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.usageOf(owner)
	if costsUpload(op) {
		return s.uploadQuota <= 0 || u.uploads < s.uploadQuota
	}

	return s.queryQuota <= 0 || u.queries < s.queryQuota
}

// charge counts a successful call. It reports false if another call has used up the quota
// meanwhile.
func (s *Server) charge(owner string, op wildfire.Op) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.usageOf(owner)
	used, limit := &u.queries, s.queryQuota
	if costsUpload(op) {
		used, limit = &u.uploads, s.uploadQuota
	}
	if limit > 0 && *used >= limit {
		return false
	}

	*used++

	return true
}

// costsUpload reports whether an operation costs an upload. The others cost a query, except test
// files, which are not charged.
func costsUpload(op wildfire.Op) bool {
	switch op {
	case wildfire.OpSubmitFile, wildfire.OpSubmitURL, wildfire.OpSubmitLink, wildfire.OpSubmitLinks:
		return true
	}
	return false
}

// admit checks the credential and its quota. If one check fails, it answers the call and reports
// false.
func (x *exchange) admit(key string) (owner string, ok bool) {
	token := bearer(x.r)
	isKey := token == ""
	if isKey {
		token = key
	}

	x.call.Token = token
	owner, ok = x.server.auth.owner(token, isKey, x.server.now())
	switch {
	case !ok:
		x.refuse(http.StatusUnauthorized, "")
		return "", false
	case !x.server.withinQuota(owner, x.call.Op):
		x.refuse(419, "")
		return "", false
	}

	return owner, true
}

// charge counts the call. If the quota is used up meanwhile, it answers the call and reports
// false.
func (x *exchange) charge(owner string) bool {
	if x.server.charge(owner, x.call.Op) {
		return true
	}
	x.refuse(419, "")
	return false
}
