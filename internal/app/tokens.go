package app

import (
	"context"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/auth/natsbucket"
	"backburn/internal/config"
	"backburn/pipeline/queue"
)

// NewTokenSource creates the token source of a profile. If q is not nil and the profile shares
// tokens, the source uses the tokens of the fleet. The caller closes it.
func NewTokenSource(ctx context.Context, cfg config.Config, profile string, q *queue.Queue, t http.RoundTripper, log zerolog.Logger, reg prometheus.Registerer) (*auth.Source, error) {
	if err := cfg.CheckProfile(profile); err != nil {
		return nil, err
	}

	p := cfg.Profile(profile)
	opts := []auth.Option{auth.WithTransport(t), auth.WithUserAgent(UserAgent), auth.WithLogger(log)}
	if reg != nil {
		opts = append(opts, auth.WithMetrics(reg))
	}

	shared, err := SharingOptions(ctx, cfg, profile, q)
	if err != nil {
		return nil, err
	}

	return auth.New(p, append(opts, shared...)...)
}

// SharingOptions returns the options to share a profile's tokens through the queue's buckets. It
// returns none if q is nil or the profile does not share tokens.
func SharingOptions(ctx context.Context, cfg config.Config, profile string, q *queue.Queue) ([]auth.Option, error) {
	p := cfg.Profile(profile)
	if q == nil || !p.Shares() {
		return nil, nil
	}

	tokens, err := natsbucket.Tokens(ctx, q.JetStream(), q.TokensBucket(), cfg.NATS.Replicas, 0)
	if err != nil {
		return nil, fmt.Errorf("auth.%s: bucket for shared tokens: %w", profile, err)
	}

	opts := []auth.Option{auth.WithBucket(tokens)}
	if !p.Kind.LogsIn() {
		return opts, nil
	}

	grants, err := natsbucket.Grants(ctx, q.JetStream(), q.GrantsBucket(), cfg.NATS.Replicas)
	if err != nil {
		return nil, fmt.Errorf("auth.%s: bucket for refresh tokens: %w", profile, err)
	}

	return append(opts, auth.WithGrantsBucket(grants)), nil
}
