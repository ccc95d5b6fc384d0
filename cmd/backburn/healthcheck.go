package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
)

// healthWait bounds the answer that a process which lives gives.
const healthWait = 4 * time.Second

func healthcheckCommand(tool *cli.App) *cobra.Command {
	var ready bool
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the process on this machine whether it is alive",
		Long: `Requests /healthz on http.listen, for container images that have no other program. The exit code
is 0 if it answered and 4 if not. A listener that requires a password or TLS counts as answering.

With --ready it requests /readyz: is everything available that the process needs?`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := tool.Config()
			if err != nil {
				return err
			}
			if cfg.HTTP.Listen == "" {
				return cli.Usagef("http.listen is empty: there is nobody to ask")
			}
			path := "/healthz"
			if ready {
				path = "/readyz"
			}
			if err := healthy(cmd.Context(), cfg.HTTP.Listen, path); err != nil {
				return cli.Exit(cli.Unreachable, err)
			}

			return nil
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it is ready for work")
	tool.Setting(cmd.Flags(), "http-listen", "http.listen", "`host:port` to ask (default: http.listen)")

	return cmd
}

// healthy asks a listener of this machine.
func healthy(ctx context.Context, listen, path string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, healthWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return err
	}

	t := &http.Transport{DisableKeepAlives: true} // and no proxy: it is this machine
	res, err := t.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("%s answers %s", path, res.Status)
	}

	return nil
}
