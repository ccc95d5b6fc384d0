package testkit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// Operator issues accounts and users as JWTs, as `nsc` does, and keeps the accounts for a server.
type Operator struct {
	t        testing.TB
	key      nkeys.KeyPair
	resolver *server.MemAccResolver
}

// NewOperator returns an operator without accounts.
func NewOperator(t testing.TB) *Operator {
	t.Helper()
	key := must(nkeys.CreateOperator())(t)

	return &Operator{t: t, key: key, resolver: &server.MemAccResolver{}}
}

// Account is an account for which the test can create users.
type Account struct {
	Public string
	o      *Operator
	key    nkeys.KeyPair
}

// NewAccount returns an account. Servers know it only after Issue.
func (o *Operator) NewAccount() *Account {
	o.t.Helper()
	key := must(nkeys.CreateAccount())(o.t)
	public := must(key.PublicKey())(o.t)

	return &Account{Public: public, o: o, key: key}
}

// Issue sets the account's claims with fill, and publishes the account to the servers.
func (a *Account) Issue(fill func(*jwt.AccountClaims)) {
	a.o.t.Helper()
	claims := jwt.NewAccountClaims(a.Public)
	if fill != nil {
		fill(claims)
	}

	token := must(claims.Encode(a.o.key))(a.o.t)
	noError(a.o.t, a.o.resolver.Store(a.Public, token))
}

// User returns a credentials file of a new user of the account.
func (a *Account) User(fill func(*jwt.UserClaims)) (credentialsFile string) {
	a.o.t.Helper()
	key := must(nkeys.CreateUser())(a.o.t)
	public := must(key.PublicKey())(a.o.t)
	seed := must(key.Seed())(a.o.t)
	claims := jwt.NewUserClaims(public)
	if fill != nil {
		fill(claims)
	}

	token := must(claims.Encode(a.key))(a.o.t)
	text := must(jwt.FormatUserConfig(token, seed))(a.o.t)
	file := filepath.Join(a.o.t.TempDir(), "user.creds")
	noError(a.o.t, os.WriteFile(file, text, 0o600))

	return file
}

// Options returns the options of a server in operator mode, with default limits.
func (o *Operator) Options() *server.Options {
	o.t.Helper()
	system := o.NewAccount()
	system.Issue(nil)
	public := must(o.key.PublicKey())(o.t)
	claims := jwt.NewOperatorClaims(public)
	claims.SystemAccount = system.Public
	token := must(claims.Encode(o.key))(o.t)
	trusted := must(jwt.DecodeOperatorClaims(token))(o.t)

	return &server.Options{
		TrustedOperators: []*jwt.OperatorClaims{trusted},
		SystemAccount:    system.Public,
		AccountResolver:  o.resolver,
	}
}
