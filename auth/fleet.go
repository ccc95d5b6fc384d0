package auth

import (
	"context"
	"time"
)

type Bucket interface{}
type fleet struct{}

func (f *fleet) obtain(ctx context.Context, w want) (*held, error) { return nil, nil }
func (f *fleet) tell(ctx context.Context, id string, e AuthError)  {}
func (s *Source) share(o options) error                            { return nil }
func (s *Source) start()                                           {}

type grantStore struct{}

func (s *Source) grantAge(now time.Time) time.Duration { return 0 }
func (s *Source) grantStatus(st *Status)               {}
func (s *Source) refreshGrant(ctx context.Context, secret Secret) (minted, error) {
	return minted{}, nil
}
