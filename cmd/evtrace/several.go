package main

import (
	"fmt"
	"os"

	"github.com/evtrace/evtrace/recorder/ftrace"
)

// among finds the capture in a directory and makes its files those to read: one, or one for each vcpu.
func (t *trace) among() error {
	files, err := ftrace.Find(t.path)
	if err != nil {
		return err
	}
	if len(files) == 1 {
		t.name = files[0]
	}
	return t.several(files)
}

// several makes files those to read, which are one capture in parts.
func (t *trace) several(files []string) error {
	t.path, t.parts = files[0], files
	for _, f := range files {
		switch st, err := os.Stat(f); {
		case f == "-":
			return usageErrorf("give all parts by their names", "import: stdin cannot be one of several files")
		case err != nil:
			return err
		case st.IsDir():
			return usageErrorf("name the directory alone, or the files in it", "%s: it is a directory, and cannot be one of several files", f)
		default:
			t.size += st.Size()
		}
	}
	return nil
}

// onlyCaptures makes sure that what is read in parts is a capture.
func (t *trace) onlyCaptures() error {
	if len(t.parts) > 1 && t.form != formFtrace {
		forms := map[string]string{formText: "a trace in text form", formStore: "no capture", formXentrace: "a binary of xentrace"}
		return usageErrorf("several files are the parts of one capture, such as per_cpu/cpu*/trace", "%s: it is %s, and cannot be one of several files", t.path, forms[t.form])
	}
	return nil
}

// files gives the names of what is read.
func (t *trace) files() []string {
	if len(t.parts) > 0 {
		return t.parts
	}
	return []string{t.path}
}

// partsName is the name of a capture in parts, for messages.
func partsName(files []string) string {
	if len(files) == 1 {
		return files[0]
	}
	return fmt.Sprintf("%s and %s", files[0], plural(uint64(len(files)-1), "other file"))
}
