package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/pprof/driver"
	pprof "github.com/google/pprof/profile"

	"github.com/evtrace/evtrace/analyze/profile"
)

// webOptions say where pages are served.
type webOptions struct {
	addr    string
	browser bool
}

// webPages are what is served.
type webPages struct {
	profile, base *pprof.Profile // base: nil if there is nothing to compare with
	listing       []byte
	title         string
}

// listen opens the port. Addresses that another machine could reach are refused.
func (o *webOptions) listen() (net.Listener, error) {
	host, port, err := net.SplitHostPort(o.addr)
	if err != nil {
		return nil, usageErrorf("", "--http: got %q, want an address such as 127.0.0.1:8080", o.addr)
	}
	if host == "" || host == "localhost" {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, usageErrorf("to see the pages elsewhere, forward the port by ssh -L", "--http: got %q, want an address of this machine's loopback, such as 127.0.0.1:8080", o.addr)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, usageErrorf("--http gives another port; 127.0.0.1:0 takes any that is free", "--http: %v", err)
	}
	return ln, nil
}

// serve shows the pages until ctx ends, which is how one leaves them.
func (a *app) serve(ctx context.Context, ln net.Listener, pages *webPages, browser bool) error {
	dir, err := os.MkdirTemp("", "evtrace-pprof-")
	if err != nil {
		return unwritable("the temporary directory", err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, profile.ListingName), pages.listing, 0o600); err != nil {
		return unwritable(dir, err)
	}
	// What pprof keeps between runs is to go with the directory, and not into $HOME.
	for _, name := range []string{"PPROF_TMPDIR", "XDG_CONFIG_HOME"} {
		defer setenv(name, dir)()
	}
	args := []string{"-http=" + ln.Addr().String(), "-source_path=" + dir, "-symbolize=none"}
	if !browser {
		args = append(args, "-no_browser")
	}
	if pages.base != nil {
		args = append(args, "-diff_base=base")
	}
	ui := &pprofUI{a: a, browser: browser}
	err = driver.PProf(&driver.Options{
		Fetch:   pages,
		Obj:     noObjects{},
		Flagset: &pprofFlags{FlagSet: flag.NewFlagSet("pprof", flag.ContinueOnError), args: append(args, pages.title)},
		UI:      ui,
		HTTPServer: func(h *driver.HTTPServerArgs) error {
			a.say("http://%s/ shows %s, until Ctrl-C", ln.Addr(), pages.title)
			return serveLocally(ctx, ln, h.Handlers)
		},
	})
	if ctx.Err() != nil && (err == nil || errors.Is(err, http.ErrServerClosed)) {
		return nil
	}
	return err
}

// setenv sets a variable and gives what sets it back.
func setenv(name, value string) func() {
	old, was := os.LookupEnv(name)
	os.Setenv(name, value)
	return func() {
		if was {
			os.Setenv(name, old)
		} else {
			os.Unsetenv(name)
		}
	}
}

// serveLocally answers those who ask this machine by an address of its own, so that a page from elsewhere cannot ask under another name.
func serveLocally(ctx context.Context, ln net.Listener, handlers map[string]http.Handler) error {
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(strings.Trim(host, "[]")); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "evtrace answers on loopback only", http.StatusForbidden)
			return
		}
		h := handlers[r.URL.Path]
		switch {
		case r.URL.Path == "/saveconfig" || r.URL.Path == "/deleteconfig":
			http.Error(w, "evtrace keeps no settings: the address of the page has them all", http.StatusForbidden)
		case h == nil:
			http.NotFound(w, r)
		default:
			h.ServeHTTP(w, r)
		}
	})}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	return srv.Serve(ln)
}

// Fetch hands pprof the profiles, which it asks for by the names in its arguments. Without an address of their source, it does not
// save them.
func (p *webPages) Fetch(name string, _, _ time.Duration) (*pprof.Profile, string, error) {
	if p.base != nil && name == "base" {
		return p.base.Copy(), "", nil
	}
	return p.profile.Copy(), "", nil
}

// noObjects keeps pprof from looking for a program to disassemble: a profile of evtrace is of none.
type noObjects struct{}

var errNoObjects = errors.New("there is no program behind this profile")

func (noObjects) Open(string, uint64, uint64, uint64, string) (driver.ObjFile, error) {
	return nil, errNoObjects
}

func (noObjects) Disasm(string, uint64, uint64, bool) ([]driver.Inst, error) {
	return nil, errNoObjects
}

// pprofFlags are the arguments for pprof, which are not those of the process.
type pprofFlags struct {
	*flag.FlagSet
	args []string
}

func (f *pprofFlags) StringList(name, def, usage string) *[]*string {
	list := new([]*string)
	f.Func(name, usage, func(v string) error {
		*list = append(*list, &v)
		return nil
	})
	return list
}

func (f *pprofFlags) ExtraUsage() string { return "" }

func (f *pprofFlags) AddExtraUsage(string) {}

// Parse takes the arguments. They are our own, and have no error.
func (f *pprofFlags) Parse(usage func()) []string {
	if err := f.FlagSet.Parse(f.args); err != nil {
		usage()
		return nil
	}
	return f.Args()
}

// pprofUI passes on what pprof has to say when something is wrong.
type pprofUI struct {
	a       *app
	browser bool
}

func (u *pprofUI) ReadLine(string) (string, error) {
	return "", errors.New("pprof asks a question, and nobody is there")
}

func (u *pprofUI) Print(...any) {} // the address, which has been said

func (u *pprofUI) PrintErr(args ...any) {
	u.a.say("note: pprof: %s", strings.TrimSuffix(fmt.Sprintln(args...), "\n"))
}

func (u *pprofUI) IsTerminal() bool { return false }

func (u *pprofUI) WantBrowser() bool { return u.browser }

func (u *pprofUI) SetAutoComplete(func(string) string) {}
