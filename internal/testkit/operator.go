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
	key, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}

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
	key, err := nkeys.CreateAccount()
	if err != nil {
		o.t.Fatal(err)
	}

	public, err := key.PublicKey()
	if err != nil {
		o.t.Fatal(err)
	}

	return &Account{Public: public, o: o, key: key}
}

// Issue sets the account's claims with fill, and publishes the account to the servers.
func (a *Account) Issue(fill func(*jwt.AccountClaims)) {
	a.o.t.Helper()
	claims := jwt.NewAccountClaims(a.Public)
	if fill != nil {
		fill(claims)
	}

	token, err := claims.Encode(a.o.key)
	if err != nil {
		a.o.t.Fatal(err)
	}
	if err := a.o.resolver.Store(a.Public, token); err != nil {
		a.o.t.Fatal(err)
	}
}

// User returns a credentials file of a new user of the account.
func (a *Account) User(fill func(*jwt.UserClaims)) (credentialsFile string) {
	a.o.t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		a.o.t.Fatal(err)
	}

	public, err := key.PublicKey()
	if err != nil {
		a.o.t.Fatal(err)
	}

	seed, err := key.Seed()
	if err != nil {
		a.o.t.Fatal(err)
	}

	claims := jwt.NewUserClaims(public)
	if fill != nil {
		fill(claims)
	}

	token, err := claims.Encode(a.key)
	if err != nil {
		a.o.t.Fatal(err)
	}

	text, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		a.o.t.Fatal(err)
	}

	file := filepath.Join(a.o.t.TempDir(), "user.creds")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		a.o.t.Fatal(err)
	}

	return file
}

// Options returns the options of a server in operator mode, with default limits.
func (o *Operator) Options() *server.Options {
	o.t.Helper()
	system := o.NewAccount()
	system.Issue(nil)
	public, err := o.key.PublicKey()
	if err != nil {
		o.t.Fatal(err)
	}

	claims := jwt.NewOperatorClaims(public)
	claims.SystemAccount = system.Public
	token, err := claims.Encode(o.key)
	if err != nil {
		o.t.Fatal(err)
	}

	trusted, err := jwt.DecodeOperatorClaims(token)
	if err != nil {
		o.t.Fatal(err)
	}

	return &server.Options{
		TrustedOperators: []*jwt.OperatorClaims{trusted},
		SystemAccount:    system.Public,
		AccountResolver:  o.resolver,
	}
}
