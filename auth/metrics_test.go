package auth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backburn/auth"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(func(n int, _ tokenRequest) (*http.Response, error) {
			if n == 2 {
				return reply(503, ""), nil
			}

			return granted(n, "900"), nil
		})
		registry := prometheus.NewRegistry()
		s := source(t, wildfireProfile(), e, auth.WithMetrics(registry))
		before := values(t, registry)
		for _, reason := range []string{"initial", "early", "expired", "rejected"} {
			for _, result := range []string{"ok", "adopted", "temporary", "rejected", "reauthorize"} {
				if v, ok := before["backburn_auth_refreshes_total{profile=wildfire,reason="+reason+",result="+result+"}"]; !ok || v != 0 {
					t.Errorf("%s, %s: %v (exists: %v) before anything happened, want 0", reason, result, v, ok)
				}
			}
		}

		token(t, s)
		time.Sleep(99 * time.Second)
		expect(t, registry, map[string]float64{
			"refreshes_total{profile=wildfire,reason=initial,result=ok}": 1, "token_remaining_seconds{profile=wildfire}": 800,
			"ready{profile=wildfire}": 1, "waiters{profile=wildfire}": 0, "cooldown_seconds{profile=wildfire}": 0,
			"clock_skew_seconds{profile=wildfire}": 0, "grant_age_seconds{profile=wildfire}": 0,
		})
		s.Rejected("token-1")
		go func() { _, _ = s.Token(t.Context()) }()
		synctest.Wait()
		expect(t, registry, map[string]float64{"waiters{profile=wildfire}": 1, "ready{profile=wildfire}": 0})
		if _, err := s.Token(t.Context()); !errors.Is(err, auth.ErrTemporary) {
			t.Error(err)
		}

		time.Sleep(time.Second)
		token(t, s)
		s.Rejected("token-3")
		expect(t, registry, map[string]float64{
			"cooldown_seconds{profile=wildfire}": 30, "fresh_rejections_total{profile=wildfire}": 1, "token_requests_total{profile=wildfire}": 3,
			"refreshes_total{profile=wildfire,reason=rejected,result=temporary}": 1, "refreshes_total{profile=wildfire,reason=rejected,result=ok}": 1,
		})
		if _, err := auth.New(wildfireProfile(), auth.WithMetrics(registry)); err == nil || !strings.Contains(err.Error(), "another source") {
			t.Errorf("two Sources of one name on one registry: %v", err)
		}

		_ = s.Close()
		if families, err := registry.Gather(); err != nil || len(families) != 0 {
			t.Errorf("%d metrics after Close, %v", len(families), err)
		}
	})
}

// values gathers every series as "name{label=value,…}".
func values(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			out[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}

	return out
}

// expect compares some of the series.
func expect(t *testing.T, g prometheus.Gatherer, want map[string]float64) {
	t.Helper()
	got := values(t, g)
	for series, value := range want {
		if v, ok := got["backburn_auth_"+series]; !ok || v != value {
			t.Errorf("%s is %v (exists: %v), want %v", series, v, ok, value)
		}
	}
}
