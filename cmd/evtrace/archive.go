package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/recorder/ftrace"
)

// Bounds of what is unpacked of a tar archive. A larger one is refused, so that a hostile one cannot fill the disk.
const (
	maxMembers  = 10_000   // files in it
	maxSideFile = 8 << 20  // bytes of a file that is no trace; a larger one is passed over
	maxUnpacked = 32 << 30 // bytes of all that is unpacked
)

// isArchive reports whether a file begins like a tar archive: with a header of POSIX' or GNU's form.
func isArchive(head []byte) bool {
	return len(head) >= 512 && bytes.HasPrefix(head[257:], []byte("ustar"))
}

// archive is a tar archive of a capture that is being unpacked: a trace with the side files beside it.
type archive struct {
	name   string
	dir    string // where it is unpacked: a temporary directory, which the caller removes
	root   *os.Root
	size   int64    // bytes unpacked
	traces []string // members that are traces
	side   []string // other members that were unpacked
	files  int
}

// unpackArchive unpacks an archive into a new temporary directory. Along with an error of the archive it gives what came before that.
func unpackArchive(name string, r io.Reader) (*archive, error) {
	dir, err := os.MkdirTemp("", "evtrace-")
	if err != nil {
		return nil, &failure{codeInternal, err, "TMPDIR says where temporary files go"}
	}
	a := &archive{name: name, dir: dir}
	if a.root, err = os.OpenRoot(dir); err != nil {
		return a, &failure{codeInternal, err, "TMPDIR says where temporary files go"}
	}
	defer a.root.Close()
	return a, a.read(r)
}

// unpack takes a capture out of a tar archive, into a temporary directory, and makes its trace the file to read. Whatever is in
// the archive, nothing is written elsewhere. An archive that is cut or damaged is refused, unless what is left is to be salvaged.
func (t *trace) unpack(r io.Reader) error {
	a, err := unpackArchive(t.name, r)
	if a != nil {
		t.temp = append(t.temp, a.dir)
	}
	if err != nil {
		if a == nil {
			return err
		}
		if !t.opt.salvage || len(a.traces) == 0 || codeOf(err) != codeUnreadable {
			return err
		}
		t.cut = err
	}
	member, err := a.choose()
	if err != nil {
		return err
	}
	t.path = filepath.Join(a.dir, filepath.FromSlash(member))
	st, err := os.Stat(t.path)
	if err != nil {
		return err
	}
	t.size = st.Size()
	return nil
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// read unpacks an archive.
func (a *archive) read(r io.Reader) error {
	in := &counter{r: r}
	tr := tar.NewReader(in)
	broken := func(err error) error {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return &failure{codeUnreadable, fmt.Errorf("%s: the tar archive is cut off at byte %d: %w", a.name, in.n, io.ErrUnexpectedEOF),
				"it is still being copied, or incomplete; whoever sent it has the whole"}
		}
		return &failure{codeUnreadable, fmt.Errorf("%s: the tar archive is damaged before byte %d: %w", a.name, in.n, err), "whoever sent it has the original"}
	}
	end := int64(0) // of the last member
	for {
		h, err := tr.Next()
		if err == io.EOF {
			if in.n < end+512 {
				return broken(io.ErrUnexpectedEOF) // a whole archive ends with blocks of zeros
			}
			if _, err := io.Copy(io.Discard, io.LimitReader(in, 1<<20)); err != nil {
				return broken(err) // what compressed it found something wrong at its end
			}
			return nil
		}
		if err != nil {
			return broken(err)
		}
		if err := a.member(h, tr); err != nil {
			var f *failure
			if errors.As(err, &f) {
				return err
			}
			return broken(err)
		}
		if _, err := io.Copy(io.Discard, tr); err != nil {
			return broken(err)
		}
		end = (in.n + 511) &^ 511
	}
}

// member unpacks a file of an archive, if it can be of use: a trace, or a side file.
func (a *archive) member(h *tar.Header, r io.Reader) error {
	name := path.Clean(h.Name)
	if a.files++; a.files > maxMembers {
		return &failure{codeUnreadable, fmt.Errorf("%s: the tar archive holds more than %d files", a.name, maxMembers), "unpack it, and name the trace in it"}
	}
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return &failure{codeUnreadable, fmt.Errorf("%s: the tar archive holds %q: want names of files below the directory it is unpacked in", a.name, h.Name),
			"such an archive is not to be trusted; look into it with tar -t"}
	}
	if h.Typeflag != tar.TypeReg {
		return nil // a directory is made for what is in it; a link or a device is no use
	}
	br := bufio.NewReaderSize(r, 128<<10)
	head, _ := br.Peek(64 << 10) // an error comes again when it is read
	isTrace := isTraceHead(head)
	if !isTrace && h.Size > maxSideFile {
		return nil
	}
	if a.size += h.Size; a.size > maxUnpacked {
		return &failure{codeUnreadable, fmt.Errorf("%s: the tar archive holds more than %s", a.name, bytesText(maxUnpacked)), "unpack it, and name the trace in it"}
	}
	if isTrace {
		a.traces = append(a.traces, name)
	} else {
		a.side = append(a.side, name)
	}
	return a.write(name, br)
}

// write puts a file into the temporary directory. An error of writing is a failure; one of reading is as it came.
func (a *archive) write(name string, r io.Reader) error {
	local := filepath.FromSlash(name)
	unwritten := func(err error) error {
		if err == nil {
			return nil
		}
		return &failure{codeInternal, fmt.Errorf("%s: %s: cannot unpack: %w", a.name, name, err), "TMPDIR says where temporary files go"}
	}
	if err := a.root.MkdirAll(filepath.Dir(local), 0o700); err != nil {
		return unwritten(err)
	}
	f, err := a.root.OpenFile(local, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return unwritten(err)
	}
	buf := make([]byte, 256<<10)
	for {
		n, rerr := r.Read(buf)
		if _, err := f.Write(buf[:n]); err != nil {
			f.Close()
			return unwritten(err)
		}
		if rerr == io.EOF {
			return unwritten(f.Close())
		}
		if rerr != nil {
			f.Close()
			return rerr
		}
	}
}

// isTraceHead reports whether a file, which may be compressed, begins like a trace.
func isTraceHead(head []byte) bool {
	r, _, err := decompress(bytes.NewReader(head))
	if err != nil {
		return false
	}
	defer r.Close()
	plain := make([]byte, 64<<10)
	n, _ := io.ReadFull(r, plain) // what there is; the whole file is read later
	plain = plain[:n]
	return text.Sniff(bytes.TrimPrefix(plain, bom)) || ftrace.Sniff(plain) || isDatabase(plain)
}

// traceNames are the names under which a trace is looked for if there are several, best first.
var traceNames = []string{"trace.txt", "trace", "trace.dat", "trace_pipe.txt"}

// choose says which member is the trace.
func (a *archive) choose() (string, error) {
	best := a.traces
	for _, want := range traceNames {
		if len(best) <= 1 {
			break
		}
		named := slices.DeleteFunc(slices.Clone(a.traces), func(name string) bool {
			base := strings.TrimSuffix(strings.TrimSuffix(path.Base(name), ".zst"), ".gz")
			return base != want
		})
		if len(named) > 0 {
			best = named
			break
		}
	}
	switch {
	case len(best) == 0:
		return "", &failure{codeUnreadable, fmt.Errorf("%s: it is a tar archive of %s, none of which is a trace", a.name, plural(uint64(a.files), "file")),
			`"evtrace help traces" lists what is read; "evtrace probes" makes such an archive`}
	case len(best) > 1:
		return "", &failure{codeUnreadable, fmt.Errorf("%s: it is a tar archive with %d traces in it (%s), want one", a.name, len(best), strings.Join(best[:min(len(best), 4)], ", ")),
			"unpack it, and name the trace in it"}
	}
	return best[0], nil
}

// dump says which member has the dumps of Xen's console: what it had printed when the recording ended has those from before in it.
func (a *archive) dump() (string, error) {
	for _, want := range []string{"xl-dmesg.after.txt", "xl-dmesg.before.txt", "xl-dmesg.txt"} {
		for _, name := range a.side {
			if path.Base(name) == want {
				return filepath.Join(a.dir, filepath.FromSlash(name)), nil
			}
		}
	}
	return "", &failure{codeUnreadable, fmt.Errorf("%s: it is a tar archive without xl-dmesg.after.txt, so there is no dump in it", a.name),
		"the script of evtrace probes puts it there, where xl works"}
}

// before gives the number of lines of a log from the end of a recording that were there before it. The ring of Xen's console has
// lost its oldest lines in between, perhaps the first of the rest in part.
func (a *archive) before(log string) (lines int, ok bool) {
	if filepath.Base(log) != "xl-dmesg.after.txt" {
		return 0, false
	}
	after, err := os.ReadFile(log)
	if err != nil {
		return 0, false
	}
	old, err := os.ReadFile(filepath.Join(filepath.Dir(log), "xl-dmesg.before.txt"))
	if err != nil {
		return 0, false
	}
	_, rest, _ := bytes.Cut(after, []byte("\n"))
	for old = bytes.TrimRight(old, "\r\n"); len(old) > 0; _, old, _ = bytes.Cut(old, []byte("\n")) {
		n := bytes.Count(old, []byte("\n")) + 1
		switch {
		case bytes.HasPrefix(after, old):
			return n, true
		case bytes.HasPrefix(rest, old):
			return n + 1, true
		}
	}
	return 0, false
}
