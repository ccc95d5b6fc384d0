package authtest

import (
	"context"
	"sync"

	"github.com/go-oauth2/oauth2/v4"
	"github.com/go-oauth2/oauth2/v4/models"
)

// store keeps the tokens of go-oauth2 in memory, without goroutines. It returns copies, because the
// library changes the values that it gets.
type store struct {
	mu                    sync.Mutex
	code, access, refresh map[string]models.Token
}

func newStore() *store {
	return &store{code: map[string]models.Token{}, access: map[string]models.Token{}, refresh: map[string]models.Token{}}
}

func (s *store) Create(_ context.Context, info oauth2.TokenInfo) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := *info.(*models.Token)
	for key, m := range map[string]map[string]models.Token{t.Code: s.code, t.Access: s.access, t.Refresh: s.refresh} {
		if key != "" {
			m[key] = t
		}
	}

	return nil
}

func (s *store) remove(m map[string]models.Token, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(m, key)

	return nil
}

func (s *store) get(m map[string]models.Token, key string) (oauth2.TokenInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := m[key]
	if !ok {
		return nil, nil
	}

	return &t, nil
}

func (s *store) RemoveByCode(_ context.Context, code string) error { return s.remove(s.code, code) }
func (s *store) RemoveByAccess(_ context.Context, access string) error {
	return s.remove(s.access, access)
}

func (s *store) RemoveByRefresh(_ context.Context, refresh string) error {
	return s.remove(s.refresh, refresh)
}

func (s *store) GetByCode(_ context.Context, code string) (oauth2.TokenInfo, error) {
	return s.get(s.code, code)
}

func (s *store) GetByAccess(_ context.Context, access string) (oauth2.TokenInfo, error) {
	return s.get(s.access, access)
}

func (s *store) GetByRefresh(_ context.Context, refresh string) (oauth2.TokenInfo, error) {
	return s.get(s.refresh, refresh)
}
