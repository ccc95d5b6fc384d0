package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/internal/httpserver"
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

With --ready it requests /readyz, which also checks what the process needs. The exit code is then 0
only if the process says that it is ready: not if http.web_config_file requires a password or a
client certificate, because healthcheck has none.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := tool.Config()
			if err != nil {
				return err
			}
			if cfg.HTTP.Listen == "" {
				return cli.Usagef("http.listen is empty, so no process can be asked")
			}

			check := checkAlive
			if ready {
				check = checkReady
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), healthTimeout)
			defer cancel()
			if err := check(ctx, cfg.HTTP.Config); err != nil {
				return cli.Exit(cli.Unreachable, err)
			}

			return nil
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it is ready for work")
	tool.BindSetting(cmd.Flags(), "http-listen", "http.listen", "`host:port` to ask (default: http.listen)")

	return cmd
}

// checkAlive requests /healthz from a listener on this machine. Every answer except 5xx counts,
// even that of a listener with TLS to a request without it.
func checkAlive(ctx context.Context, listener httpserver.Config) error {
	host, port, err := net.SplitHostPort(listener.Listen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}

	t := &http.Transport{DisableKeepAlives: true} // no proxy, since the listener is on this machine
	status, err := getStatus(ctx, &http.Client{Transport: t}, "http://"+net.JoinHostPort(host, port)+"/healthz")
	if err == nil && status >= http.StatusInternalServerError {
		err = fmt.Errorf("/healthz answers %d", status)
	}

	return err
}

// checkReady requests /readyz from a listener on this machine. Only 200 counts.
func checkReady(ctx context.Context, listener httpserver.Config) error {
	client, url, err := listener.LocalClient()
	if err != nil {
		return err
	}

	status, err := getStatus(ctx, client, url+"/readyz")
	switch {
	case err != nil:
		return err
	case status == http.StatusUnauthorized:
		return errors.New("cannot tell: the listener requires a password (http.web_config_file)")
	case status != http.StatusOK:
		return fmt.Errorf("/readyz answers %d", status)
	}

	return nil
}

// getStatus returns the status of the answer to a GET request.
func getStatus(ctx context.Context, client *http.Client, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("no answer: %w", err)
	}

	return res.StatusCode, res.Body.Close()
}
