package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"backburn/auth"
	"backburn/auth/cortex"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/loopback"
)

func loginCommand(tool *cli.App) *cobra.Command {
	var (
		params    string
		noBrowser bool
	)
	cmd := &cobra.Command{
		Use:   "login PROFILE",
		Short: "Log in to the Cortex hub",
		Long: `Lets an administrator authorize Backburn at the Cortex hub, for a profile of the kind "cortex", and
stores the refresh token, sealed. From then on tokens are renewed automatically.

If redirect_url is on this machine (http://localhost:PORT/…), a browser opens and returns the
answer by itself. Otherwise, or with --no-browser, the command prints the address to open. Paste
the address that the browser shows at the end.

--params takes what the hub appended to the tool's address ("params=…") when the instance was
activated. It contains the instance and its region.`,
		Example: `  backburn login cortex --params aW5zdGFuY2VfaWQ9MTIzJnJlZ2lvbj1hbWVyaWNhcw==
  backburn login cortex --no-browser`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := tool.Config()
			if err != nil {
				return err
			}

			browser := openBrowser
			if noBrowser {
				browser = nil
			}

			return login(cmd.Context(), tool, cfg, args[0], params, browser)
		},
	}
	cmd.Flags().StringVar(&params, "params", "", "what the hub appended, in `base64`")
	cmd.Flags().BoolVar(&noBrowser, "no-browser", false, "print the address instead of opening a browser, and read the answer from standard input")

	return cmd
}

// loginTimeout is how long a login waits for the user.
const loginTimeout = 10 * time.Minute

// login logs in. It calls browser to open a browser on this machine. If browser is nil, or
// redirect_url is not on this machine, the user opens the address elsewhere.
func login(ctx context.Context, tool *cli.App, cfg config.Config, profile, params string, browser func(context.Context, string) error) error {
	var hub cortex.HubParams
	if params != "" {
		var err error
		if hub, err = cortex.ParseHubParams(strings.TrimPrefix(params, "params=")); err != nil {
			return cli.Usagef("--params: %w", err)
		}
	}

	opts, done, err := cortexOptions(ctx, tool, cfg, profile, "login")
	if err != nil {
		return err
	}
	defer done()
	l, err := auth.NewLogin(cfg.Profile(profile), hub, opts...)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}

	ctx, cancel := context.WithTimeoutCause(ctx, loginTimeout, errors.New("the login took too long"))
	defer cancel()
	var grant cortex.Authorized
	if address, local := localCallback(cfg.Auth[profile].RedirectURL); local && browser != nil {
		grant, err = loginWithBrowser(ctx, tool, l, address, browser)
	} else {
		grant, err = loginByPastedAddress(ctx, tool, l)
	}

	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}

		return withExitCode(err)
	}

	fmt.Fprintf(tool.Err, "Logged in: instance %s, region %s.\n", cli.Printable(grant.InstanceID), cli.Printable(grant.Region))

	return nil
}

// cortexOptions returns the options for login and logout. The caller calls done.
func cortexOptions(ctx context.Context, tool *cli.App, cfg config.Config, profile, command string) (opts []auth.Option, done func(), err error) {
	if err := checkProfile(cfg, profile); err != nil {
		return nil, nil, err
	}
	if kind := cfg.Auth[profile].Kind; !kind.LogsIn() {
		return nil, nil, cli.Usagef("profile %q has the kind %q; only %q uses login and logout", profile, kind, auth.KindCortex)
	}

	fleet := linkFleet(ctx, cfg, command)
	if opts, err = fleet.authOptions(ctx, tool, cfg, profile); err != nil {
		fleet.close()
		return nil, nil, err
	}

	return opts, fleet.close, nil
}

// localCallback returns the address to listen on for the browser, if redirect_url is on this
// machine.
func localCallback(redirect string) (address string, ok bool) {
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" || u.Port() == "" {
		return "", false
	}
	return u.Host, loopback.Host(u.Hostname())
}

// loginWithBrowser serves the login for a browser on this machine.
func loginWithBrowser(ctx context.Context, tool *cli.App, l *cortex.Login, address string, browser func(context.Context, string) error) (cortex.Authorized, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return cortex.Authorized{}, cli.Exit(cli.Unreachable, fmt.Errorf("redirect_url: %w; free the port, or use --no-browser", err))
	}

	server := http.Server{Handler: l.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 32 << 10}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) }) // returns after Shutdown
	defer func() {
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(sctx) != nil { // deliver the last page first
			_ = server.Close()
		}

		serving.Wait()
	}()
	start := "http://" + address + cortex.StartPath
	fmt.Fprintf(tool.Err, "Opening %s in a browser. If no browser appears, open it yourself; Ctrl-C cancels.\n", start)
	if err := browser(ctx, start); err != nil {
		fmt.Fprintf(tool.Err, "No browser could be opened: %s\n", err)
	}

	return l.Wait(ctx)
}

// openBrowser opens an address with the desktop's default browser. It does not wait for the
// browser.
func openBrowser(ctx context.Context, address string) error {
	name, args := "xdg-open", []string{address}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}

	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, args...)
	if err := cmd.Start(); err != nil {
		return err
	}

	return cmd.Process.Release()
}

// loginByPastedAddress prints the address to open, and reads the address that the browser ends on.
func loginByPastedAddress(ctx context.Context, tool *cli.App, l *cortex.Login) (cortex.Authorized, error) {
	fmt.Fprintf(tool.Err, "Open this address in a browser:\n\n%s\n\nand paste the address that the browser shows at the end: ", l.Begin())
	lines := make(chan string)
	go func() { // ends when standard input ends, or with the process
		defer close(lines)
		in := bufio.NewScanner(tool.In)
		in.Buffer(nil, 64<<10)
		for in.Scan() {
			select {
			case lines <- strings.TrimSpace(in.Text()):
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return cortex.Authorized{}, ctx.Err()
		case line, ok := <-lines:
			if !ok {
				return cortex.Authorized{}, cli.Usagef("no address was given")
			}
			if line == "" {
				continue
			}

			g, err := l.Complete(ctx, line)
			if errors.Is(err, auth.ErrCallback) || errors.Is(err, auth.ErrState) {
				fmt.Fprintf(tool.Err, "%s\nTry again: ", err)
				continue
			}

			return g, err
		}
	}
}

func logoutCommand(tool *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "logout PROFILE",
		Short: "Log out of the Cortex hub",
		Long: `Revokes the stored refresh token of a profile of the kind "cortex" at the hub, and deletes it here
even if the hub cannot be reached. Access tokens stay valid until they expire.`,
		Example: `  backburn logout cortex`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := tool.Config()
			if err != nil {
				return err
			}

			return logout(cmd.Context(), tool, cfg, args[0])
		},
	}
}

func logout(ctx context.Context, tool *cli.App, cfg config.Config, profile string) error {
	opts, done, err := cortexOptions(ctx, tool, cfg, profile, "logout")
	if err != nil {
		return err
	}
	defer done()
	if err := auth.Logout(ctx, cfg.Profile(profile), opts...); err != nil {
		return withExitCode(err)
	}

	fmt.Fprintln(tool.Err, "Logged out.")

	return nil
}
