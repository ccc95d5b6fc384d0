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

// healthTimeout is the longest time that a live process takes to answer.
const healthTimeout = 4 * time.Second

func healthcheckCommand(tool *cli.App) *cobra.Command {
	var ready bool
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the process on this machine whether it is alive",
		Long: `Requests /healthz on http.listen, for container images that have no other program. The exit code
is 0 if there is an answer and 4 if not. A response that requires a password or TLS is an answer.

With --ready it requests /readyz, which also checks what the process needs.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := tool.Config()
			if err != nil {
				return err
			}
			if cfg.HTTP.Listen == "" {
				return cli.Usagef("http.listen is empty, so no process can be asked")
			}

			path := "/healthz"
			if ready {
				path = "/readyz"
			}
			if err := checkHealth(cmd.Context(), cfg.HTTP.Listen, path); err != nil {
				return cli.Exit(cli.Unreachable, err)
			}

			return nil
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it is ready for work")
	tool.BindSetting(cmd.Flags(), "http-listen", "http.listen", "`host:port` to ask (default: http.listen)")

	return cmd
}

// checkHealth requests a path from a listener on this machine.
func checkHealth(ctx context.Context, listen, path string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}

	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return err
	}

	t := &http.Transport{DisableKeepAlives: true} // no proxy, since the listener is on this machine
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
