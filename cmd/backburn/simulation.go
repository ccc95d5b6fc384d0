package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"backburn/auth"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/wildfire/wildfiretest"
)

// simulation is a server with a simulated WildFire and its token service.
type simulation struct {
	url     string
	secret  string
	http    *http.Server
	serving sync.WaitGroup
}

// The service account that the simulation accepts. Its secret is new each time.
const (
	simulatedClient = "demo@1234567890.iam.panserviceaccount.com"
	simulatedTSG    = "1234567890"
)

// startPacedSimulation is startSimulation with delays that people can follow: verdicts take from
// delay to twice that.
func startPacedSimulation(delay time.Duration) (*simulation, error) {
	return startSimulation(wildfiretest.WithDelay(delay), wildfiretest.WithJitter(delay), wildfiretest.WithUnknownFor(min(time.Second, delay)))
}

// startSimulation serves a simulated WildFire that accepts one service account, with a new secret.
// The caller stops it.
func startSimulation(opts ...wildfiretest.Option) (*simulation, error) {
	secret := rand.Text()
	s, err := startOpenSimulation("127.0.0.1:0", append(opts, wildfiretest.WithClient(simulatedClient, secret, simulatedTSG))...)
	if err == nil {
		s.secret = secret
	}

	return s, err
}

// startOpenSimulation serves a simulated WildFire that accepts any credential.
func startOpenSimulation(listen string, opts ...wildfiretest.Option) (*simulation, error) {
	l, err := net.Listen("tcp", listen) //nolint:noctx // no names are looked up
	if err != nil {
		return nil, cli.Exit(cli.Unreachable, fmt.Errorf("simulated WildFire: %w", err))
	}

	server := wildfiretest.New(opts...)
	s := &simulation{url: localURL(l.Addr()), http: server.NewHTTPServer()}
	s.serving.Go(func() { _ = s.http.Serve(server.Listener(l)) }) // returns after stop

	return s, nil
}

// localURL returns the URL of a listener for clients on this machine.
func localURL(listener net.Addr) string {
	host, port, err := net.SplitHostPort(listener.String())
	if err != nil {
		return "http://" + listener.String()
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}

	return "http://" + net.JoinHostPort(host, port)
}

func (s *simulation) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		_ = s.http.Close()
	}
	s.serving.Wait()
}

// use makes the configuration refer to the simulation.
func (s *simulation) use(cfg *config.Config) {
	cfg.UseSimulator(s.url, auth.Profile{
		Kind:         auth.KindWildFire,
		ClientID:     simulatedClient,
		ClientSecret: auth.NewSecret(s.secret),
		TSGID:        simulatedTSG,
		TokenURL:     s.url + "/am/oauth2/access_token",
		Share:        auth.ShareOff,
	})
}
