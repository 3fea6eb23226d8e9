package ftrace

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/evtrace/evtrace/recorder/ftrace/tracedat"
)

// OpenFiles opens files of one ring buffer as one capture, such as per_cpu/cpu0/trace, per_cpu/cpu1/trace and so on, or the parts of a
// trace_pipe that was saved in pieces: their records are merged by time. Side files are looked for beside the first, or above the
// directory per_cpu. A single file is opened as by Open. Errors are as those of Open, and of class ErrMixed for a file whose
// clock or ABI is another than that of the first.
func OpenFiles(paths []string, opt Options) (*Importer, error) {
	if len(paths) == 0 {
		return nil, fmt.Errorf("%w: no file is named", ErrFormat)
	}
	names := shortNames(paths)
	name := names[0]
	if n := len(names) - 1; n > 0 {
		name = fmt.Sprintf("%s and %d more", name, n)
	}
	dir := opt.Context
	if dir == "" {
		dir = besides(paths[0])
	} else if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("context: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("context: %s: want a directory", dir)
	}
	side, err := ReadSideFiles(dir)
	if err != nil {
		return nil, err
	}
	im, err := prepare(name, side, opt)
	if err != nil {
		return nil, err
	}
	src, err := openAll(paths, names, im.names, &im.opt)
	if err != nil {
		return nil, err
	}
	return im.begin(src)
}

// openAll opens the files of a capture. A file without a single record, as an idle vcpu leaves it, is passed over if there are others.
func openAll(paths, names []string, ns *names, opt *Options) (source, error) {
	if len(paths) == 1 {
		return openFile(paths[0], names[0], ns, opt)
	}
	var (
		srcs  []source
		kept  []string
		empty []string
	)
	fail := func(err error) (source, error) {
		for _, s := range srcs {
			s.close()
		}
		return nil, err
	}
	for i, path := range paths {
		if j := slices.Index(paths[:i], path); j >= 0 {
			return fail(fmt.Errorf("%s: %w: it is named twice", names[i], ErrMixed))
		}
		src, err := openFile(path, names[i], ns, opt)
		if errors.Is(err, errEmpty) {
			empty = append(empty, names[i])
			continue
		}
		if err != nil {
			return fail(err)
		}
		srcs, kept = append(srcs, src), append(kept, names[i])
	}
	if len(srcs) == 0 {
		return nil, fmt.Errorf("%s: %w", strings.Join(empty[:min(len(empty), 4)], ", "), errEmpty)
	}
	m, err := newMerged(srcs, kept)
	if err != nil {
		return fail(err)
	}
	for _, n := range empty {
		m.head.note(n + " is empty")
	}
	return m, nil
}

// shortNames gives the paths without the directories that they have in common.
func shortNames(paths []string) []string {
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = filepath.ToSlash(filepath.Clean(p))
	}
	if len(names) == 1 {
		return []string{filepath.Base(paths[0])}
	}
	for {
		first, _, ok := strings.Cut(names[0], "/")
		if !ok {
			return names
		}
		for _, n := range names {
			if !strings.HasPrefix(n, first+"/") {
				return names
			}
		}
		for i := range names {
			names[i] = names[i][len(first)+1:]
		}
	}
}

// besides gives the directory in which the side files of a capture are: that of the file, or the one that per_cpu/cpuN is in.
func besides(path string) string {
	dir := filepath.Dir(path)
	if _, ok := cpuNumber(filepath.Base(dir)); ok {
		dir = filepath.Dir(dir)
		if filepath.Base(dir) == "per_cpu" {
			dir = filepath.Dir(dir)
		}
	}
	return dir
}

// cpuNumber reads the number of cpu12, which is what tracefs calls a vcpu's directory.
func cpuNumber(s string) (int, bool) {
	num, ok := strings.CutPrefix(s, "cpu")
	if !ok || len(num) > 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(num, 10, 15)
	return int(n), err == nil
}

// wholeNames are the names of captures of all vcpus, best first.
var wholeNames = [...]string{"trace.txt", "trace", "trace.dat", "trace_pipe.txt", "trace_pipe", "trace-cmd-report.txt"}

// Choose says which of some files make up one capture, by their names, which have slashes: the one that is of all vcpus, or those of one vcpu
// each. It gives them all if the names do not tell.
func Choose(files []string) []string {
	base := func(name string) string {
		name = name[strings.LastIndexByte(name, '/')+1:]
		return strings.TrimSuffix(strings.TrimSuffix(name, ".zst"), ".gz")
	}
	var best []string
	for _, want := range wholeNames {
		for _, f := range files {
			if _, ofOne := vcpuOf(f); !ofOne && base(f) == want {
				best = append(best, f)
			}
		}
		if len(best) > 0 {
			return best
		}
	}
	// Of one vcpu each: trace before trace_pipe, which holds the same if both were saved.
	for _, pipe := range []bool{false, true} {
		for _, f := range files {
			if _, ofOne := vcpuOf(f); ofOne && strings.HasPrefix(base(f), "trace_pipe") == pipe {
				best = append(best, f)
			}
		}
		if len(best) > 0 {
			slices.SortStableFunc(best, func(a, b string) int {
				x, _ := vcpuOf(a)
				y, _ := vcpuOf(b)
				return x - y
			})
			return best
		}
	}
	return files
}

// vcpuOf gives the vcpu whose records alone a file has, by its name: per_cpu/cpu3/trace, trace.cpu3.txt, cpu3.txt.
func vcpuOf(file string) (int, bool) {
	parts := strings.Split(file, "/")
	if len(parts) > 1 {
		if n, ok := cpuNumber(parts[len(parts)-2]); ok {
			return n, true
		}
	}
	for _, w := range strings.FieldsFunc(parts[len(parts)-1], func(r rune) bool { return r == '.' || r == '-' || r == '_' }) {
		if n, ok := cpuNumber(w); ok {
			return n, true
		}
	}
	return 0, false
}

// maxEntries bounds how many files of a directory are looked into.
const maxEntries = 1000

// Find gives the files in a directory that make up a capture: one of all vcpus, or those of per_cpu/cpuN, as in tracefs. An error is of
// class ErrFormat if there is none, or if there are several that do not belong together.
func Find(dir string) ([]string, error) {
	var found []string
	add := func(sub string) error {
		entries, err := os.ReadDir(filepath.Join(dir, filepath.FromSlash(sub)))
		if err != nil {
			return err
		}
		for i, e := range entries {
			name := sub + e.Name()
			if i < maxEntries && !e.IsDir() && isCapture(filepath.Join(dir, filepath.FromSlash(name))) {
				found = append(found, name)
			}
		}
		return nil
	}
	if err := add(""); err != nil {
		return nil, err
	}
	for _, sub := range []string{"", "per_cpu/"} {
		entries, err := os.ReadDir(filepath.Join(dir, filepath.FromSlash(sub)))
		if err != nil {
			continue // without per_cpu
		}
		for _, e := range entries {
			if _, ok := cpuNumber(e.Name()); ok && e.IsDir() {
				if err := add(sub + e.Name() + "/"); err != nil {
					return nil, err
				}
			}
		}
	}
	best := Choose(found)
	switch _, ofOne := vcpuOf(slices.Concat(best, []string{""})[0]); {
	case len(best) == 0:
		return nil, fmt.Errorf("%s: it is a directory, and holds no capture such as trace.txt, trace.dat or per_cpu/cpu0/trace: %w", dir, ErrFormat)
	case len(best) > 1 && !ofOne:
		return nil, fmt.Errorf("%s: it is a directory, and holds several captures (%s), want the name of one: %w", dir, strings.Join(best[:min(len(best), 4)], ", "), ErrFormat)
	}
	for i, name := range best {
		best[i] = filepath.Join(dir, filepath.FromSlash(name))
	}
	return best, nil
}

// isCapture reports whether a file begins like a capture.
func isCapture(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(filepath.Base(path), "trace_pipe") && info.Size() == 0 {
		return false // the kernel's own trace_pipe has no size; reading it would take the records away, and wait for more
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	r, closer, err := decompressor(f)
	if err != nil {
		return false
	}
	defer closer()
	head := make([]byte, 16<<10)
	n, _ := io.ReadFull(r, head) // what there is
	return tracedat.Is(head[:n]) || Sniff(head[:n])
}
