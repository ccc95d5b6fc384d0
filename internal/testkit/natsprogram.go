package testkit

import (
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATS is a program: a NATS server as a separate process that can be killed. Every acknowledged
// message is on the disk (sync_always). See NATSArgs for its flags.
func NATS() {
	flags := flag.NewFlagSet("nats", flag.ExitOnError)
	name := flags.String("name", "nats", "")
	port := flags.Int("port", server.RANDOM_PORT, "")
	dir := flags.String("dir", "", "")
	cluster := flags.Int("cluster", 0, "port for the other nodes")
	routes := flags.String("routes", "", "addresses of all nodes")
	_ = flags.Parse(os.Args[1:]) // it exits
	opts := &server.Options{
		ServerName: *name, Host: "127.0.0.1", Port: *port, JetStream: true, StoreDir: *dir, SyncAlways: true, NoSigs: true, NoLog: true,
	}
	if *cluster != 0 {
		opts.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: *cluster}
		for _, r := range strings.Split(*routes, ",") {
			opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: r})
		}
	}

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	ns, err := server.NewServer(opts)
	if err == nil {
		ns.Start()
		if !ns.ReadyForConnections(30 * time.Second) {
			err = fmt.Errorf("the NATS server did not start")
		}
	}

	if err != nil {
		fmt.Fprintln(os.Stderr, "nats:", err)
		os.Exit(4)
	}

	fmt.Fprintf(os.Stderr, `{"message":"nats server is up","url":%q}`+"\n", ns.ClientURL())
	<-stop
	StopNATS(ns)
	os.Exit(143)
}

// NATSArgs are the arguments of n NATS servers with stores below dir: one alone, or a cluster.
// Their ports stay the same when they are started again.
func NATSArgs(t testing.TB, n int, dir string) (args [][]string, urls string) {
	t.Helper()
	ports := freePorts(t, 2*n)
	var routes, addresses []string
	for i := range n {
		addresses = append(addresses, "nats://127.0.0.1:"+strconv.Itoa(ports[i]))
		routes = append(routes, "127.0.0.1:"+strconv.Itoa(ports[n+i]))
	}

	for i := range n {
		a := []string{"-name", fmt.Sprint("n", i), "-port", strconv.Itoa(ports[i]), "-dir", fmt.Sprint(dir, i)}
		if n > 1 {
			a = append(a, "-cluster", strconv.Itoa(ports[n+i]), "-routes", strings.Join(routes, ","))
		}
		args = append(args, a)
	}

	return args, strings.Join(addresses, ",")
}

// freePorts finds ports that nobody listens on.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}

	return ports
}
