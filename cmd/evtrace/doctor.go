package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze/doctor"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/recorder/consoledump"
	"github.com/evtrace/evtrace/recorder/ftrace"
	"github.com/evtrace/evtrace/recorder/xentrace"
)

func newDoctor(a *app) *cobra.Command {
	var (
		all    bool
		json   bool
		strict bool
	)
	c := &cobra.Command{
		Use:     "doctor FILE|- [FILE...]",
		GroupID: groupJudge,
		Short:   "judge dumps of Xen's console: which ports nobody is going to look at",
		Long: `Doctor reads what was pasted of Xen's console: the port tables of "xl debug-keys e", of any number of domains and in any of the forms
that Xen has had, the vcpus of "xl debug-keys q", and what a Linux guest answers to that. The files may be a whole xl dmesg, a
serial log, a mail or a comment; several are taken one after the other. Of an archive that the script of evtrace probes made, the
console is judged as it was at the end, with the dumps before and after the recording.

It lists suspects, those that stood over two dumps first, each with its reason, and says what to do next. From one dump nothing is
proven: a port that it shows may have been in flight. Take a second one some seconds later:

  xl debug-keys e; sleep 5; xl debug-keys e; xl debug-keys q; xl dmesg > dump.txt

The exit code is 0 if nothing is suspect, 10 if an event is lost (it stood over two dumps), 20 if there are suspects that are not
decided, and 75 if there is no dump to judge.`,
		Example: `  evtrace doctor dump.txt
  evtrace doctor first.txt second.txt
  evtrace doctor --all dump.txt
  evtrace doctor --json dump.txt | jq '.suspects[].reason'`,
		Args: atLeast(1, "the files with dumps"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.examine(cmd.Context(), args, strict)
			if err != nil {
				return err
			}
			if json {
				if !all {
					r.Cleared = r.Cleared[:0]
				}
				err = a.printJSON(r)
			} else {
				var b strings.Builder
				if err = r.WriteText(&b, doctor.TextOptions{All: all}); err == nil {
					err = a.print(b.String())
				}
			}
			if err != nil {
				return err
			}
			return exitCode(r.ExitCode())
		},
	}
	fl := c.Flags()
	fl.BoolVar(&all, "all", false, "also list the pending ports that are no suspects, with the reason, and everything that moved")
	fl.BoolVar(&strict, "strict", false, "refuse broken rows instead of passing over them")
	fl.BoolVar(&json, "json", false, "report as JSON")
	return c
}

// examine judges the dumps of some files, one after the other.
func (a *app) examine(ctx context.Context, names []string, strict bool) (*doctor.Report, error) {
	ex := doctor.New(doctor.Options{})
	var notes []string
	dumps := 0
	var none error
	ends := make(map[string]int)
	for _, name := range names {
		sum, err := a.examineFile(ctx, ex, ends, name, strict)
		if errors.Is(err, consoledump.ErrNone) && len(names) > 1 {
			none = err
			notes = append(notes, name+": no dump in it")
			continue
		} else if err != nil {
			return nil, err
		}
		dumps += sum.Dumps
		notes = append(notes, dumpNotes(name, &sum)...)
	}
	if dumps == 0 {
		return nil, noDump(none)
	}
	r := ex.Finish()
	r.Notes = append(r.Notes, notes...)
	if len(names) == 1 {
		r.Notes = append(r.Notes, splitNotes(r, ends)...)
	}
	return r, nil
}

// splitNotes says which dumps of an archive are from before the recording, and which from its end.
func splitNotes(r *doctor.Report, ends map[string]int) []string {
	before, after := 0, 0
	for i := range r.Dumps {
		d := &r.Dumps[i]
		switch end, ok := ends[d.File]; {
		case !ok:
			return nil
		case d.Line <= end:
			before = d.Number
		default:
			after++
		}
	}
	switch {
	case before == 0 && after > 0:
		return []string{"all dumps are from the end of the recording"}
	case before > 0 && after == 0:
		return []string{"all dumps are from before the recording"}
	case before == 1:
		return []string{"dump 1 is from before the recording, the others are from its end"}
	case before > 0:
		return []string{fmt.Sprintf("dumps 1 to %d are from before the recording, the others are from its end", before)}
	}
	return nil
}

// examineFile judges the dumps of one file. Ends has, by name, the line of a log up to which it is from before a recording; an archive
// adds its own.
func (a *app) examineFile(ctx context.Context, ex *doctor.Examiner, ends map[string]int, name string, strict bool) (consoledump.Summary, error) {
	var none consoledump.Summary
	in, size, base := a.in, int64(0), "stdin"
	if name != "-" {
		base = filepath.Base(name)
		st, err := os.Stat(name)
		if err == nil && st.IsDir() {
			err = fmt.Errorf("%s: it is a directory, want a file", name)
		}
		if err != nil {
			return none, unreadable(err)
		}
		f, err := os.Open(name)
		if err != nil {
			return none, unreadable(err)
		}
		defer f.Close()
		in, size = f, st.Size()
	}
	r, _, err := decompress(in)
	if err != nil {
		return none, unreadable(fmt.Errorf("%s: %w", base, err))
	}
	defer r.Close()
	br := bufio.NewReaderSize(r, 64<<10)
	head, _ := br.Peek(br.Size())
	if isArchive(head) {
		return a.examineArchive(ctx, ex, ends, name, br, strict)
	}
	if isDatabase(head) || text.Sniff(head) {
		return none, &failure{codeUsage, fmt.Errorf("%s: it is a trace, and doctor reads dumps of the console", base), "evtrace analyze " + name + " judges it"}
	}
	p := a.newProgress("reading", "bytes", false)
	defer p.done()
	rd := consoledump.NewReader(br, base, consoledump.Options{Strict: strict, Progress: func(n int64) { p.at(uint64(n), part(n, size)) }})
	for n := 0; ; n++ {
		if n&0xff == 0 {
			if err := ctx.Err(); err != nil {
				return none, err
			}
		}
		d, err := rd.Next()
		switch {
		case err == io.EOF:
			return rd.Summary(), nil
		case errors.Is(err, consoledump.ErrNone):
			return none, notDump(err, name, head)
		case err != nil:
			return none, unreadable(err)
		}
		ex.Add(d)
	}
}

// examineArchive judges the dumps of a capture in a tar archive.
func (a *app) examineArchive(ctx context.Context, ex *doctor.Examiner, ends map[string]int, name string, r io.Reader, strict bool) (consoledump.Summary, error) {
	ar, err := unpackArchive(filepath.Base(name), r)
	if ar != nil {
		defer os.RemoveAll(ar.dir)
	}
	if err != nil {
		return consoledump.Summary{}, unreadable(err)
	}
	dump, err := ar.dump()
	if err != nil {
		return consoledump.Summary{}, err
	}
	if end, ok := ar.before(dump); ok {
		ends[filepath.Base(dump)] = end
	}
	return a.examineFile(ctx, ex, ends, dump, strict)
}

// noDump is about an input without a dump.
func noDump(err error) error {
	return &failure{codeUnreadable, err, `"xl debug-keys e; xl dmesg > dump.txt" makes one: docs/doctor.md`}
}

// notDump is about an input without a dump, whose first bytes tell what else it is.
func notDump(err error, name string, head []byte) error {
	switch {
	case ftrace.Sniff(head), xentrace.Sniff(head):
		return &failure{codeUsage, fmt.Errorf("%w: it is a capture", err), "evtrace analyze " + name + " judges it"}
	case isBase64(head):
		return &failure{codeUnreadable, fmt.Errorf("%w: it is encoded in base64, as in the source of a mail", err),
			"save the text that the mail program shows, or decode it: base64 -di " + name + " | evtrace doctor -"}
	}
	return noDump(err)
}

// isBase64 reports whether a text has lines of base64, as mails fold it: three of the same length, one after the other.
func isBase64(head []byte) bool {
	run, width := 0, 0
	for line := range bytes.Lines(head) {
		line = bytes.TrimRight(line, "\r\n")
		if _, err := base64.StdEncoding.DecodeString(string(line)); err != nil || len(line) < 60 || len(line) > 76 {
			run = 0
			continue
		}
		if len(line) != width {
			run, width = 0, len(line)
		}
		if run++; run == 3 {
			return true
		}
	}
	return false
}

// dumpNotes says what of a text was passed over.
func dumpNotes(name string, s *consoledump.Summary) []string {
	var notes []string
	say := func(format string, args ...any) { notes = append(notes, name+": "+fmt.Sprintf(format, args...)) }
	if s.Broken > 0 {
		say("%s could not be read, the first at line %d: %q", plural(uint64(s.Broken), "row"), s.First.Line, s.First.Text)
	}
	if s.Joined > 0 {
		say("%s had been broken in two, and put together again", plural(uint64(s.Joined), "row"))
	}
	if s.Lost > 0 {
		say("lines are missing at %s, the first at line %d: %q", plural(uint64(s.Lost), "place"), s.LostAt.Line, s.LostAt.Text)
	}
	if s.Cut {
		say("the text ends within line %d, which may be cut", s.Lines)
	}
	if s.Long > 0 {
		say("%s too long to be of a dump", plural(uint64(s.Long), "line"))
	}
	return notes
}

// importDumps turns the dumps of one domain into a trace file.
func (a *app) importDumps(ctx context.Context, t *trace, out string, force bool) (*recordSummary, error) {
	p := a.newProgress("importing", "bytes", t.opt.quiet)
	defer p.done()
	opt := consoledump.ImportOptions{Domain: consoledump.Lowest}
	if t.opt.domained {
		opt.Domain = int(t.opt.domain)
	}
	opt.Strict = t.opt.strict
	opt.Progress = func(n int64) { p.at(uint64(n), part(n, t.size)) }
	im, err := consoledump.NewImporter(func() (io.ReadCloser, error) { return openDump(t.path) }, filepath.Base(t.name), opt)
	switch {
	case errors.Is(err, consoledump.ErrNone):
		return nil, noDump(err)
	case errors.Is(err, consoledump.ErrDomain):
		return nil, &failure{codeUsage, err, "--domain takes the number of one that has dumps of key e"}
	case err != nil:
		return nil, err
	}
	defer im.Close()
	return a.fill(ctx, t, im, im.Meta(), im.FinalMeta, out, force)
}

// openDump opens a text, which may be compressed.
func openDump(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, _, err := decompress(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{r, closers{r, f}}, nil
}

// closers closes several things.
type closers []io.Closer

func (cs closers) Close() error {
	var errs []error
	for _, c := range cs {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
