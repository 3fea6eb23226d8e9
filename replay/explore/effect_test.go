package explore

import (
	"reflect"
	"slices"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
)

// What comes of a choice, put together from effects that were found out in worlds of their own, is what comes of it in the whole
// world: the parts, what is wrong with it, and the choices that follow. Every choice in some hundred worlds of every cell, in which
// foreign paths are told apart or not.
func TestEffects(t *testing.T) {
	worlds := 250
	if testing.Short() {
		worlds = 50
	}
	far := 0
	for _, sc := range system.BoundedBuiltins() {
		for i, pre := range evtchn.Presets() {
			s := bounded(t, sc.Name, pre.Name)
			w := newTestWorker(s, i%2 == 0)
			from := w.k.put(nil, s.ready)
			seen := map[string]bool{string(w.k.appendRow(nil, from)): true}
			queue := []row{from}
			whole := s.Start()
			for n := 0; n < len(queue) && n < worlds; n++ {
				r := queue[n]
				w.row = r
				w.k.get(whole, r)
				if got := w.k.put(nil, whole); !slices.Equal(got, r) {
					t.Fatalf("%s under %s: row %v makes a world of row %v", sc.Name, pre.Name, r, got)
				}
				all, must := whole.Choices(nil)
				w.state(0, &outcome{})
				if !slices.Equal(all, w.choices) {
					t.Fatalf("%s under %s: row %v: choices %v, want %v", sc.Name, pre.Name, r, w.choices, all)
				}
				if bad := whole.Judge(); must == 0 && w.judge(&w.k.actors.get(r[0]).will, new(whole.sys.able(whole.m))) != bad {
					t.Fatalf("%s under %s: row %v: not %s", sc.Name, pre.Name, r, bad)
				}
				for _, c := range all {
					bad := w.follow(r, c)
					got, prints := slices.Clone(w.next), slices.Clone(w.nexts)
					want, wantBad := w.whole(r, c, nil)
					if !slices.Equal(got, want) || bad != wantBad {
						t.Fatalf("%s under %s: %s in row %v leads to %v, %q, want %v, %q", sc.Name, pre.Name, c, r, got, bad, want, wantBad)
					}
					if want := w.k.prints(nil, got, 0); !slices.Equal(prints, want) {
						t.Fatalf("%s under %s: %s in row %v: prints %x, want %x", sc.Name, pre.Name, c, r, prints, want)
					}
					if key := string(w.k.appendRow(nil, got)); !seen[key] {
						seen[key] = true
						queue = append(queue, got)
					}
				}
			}
			for i := range w.fresh.slots {
				if a := &w.fresh.slots[i]; a.q.code != 0 && a.e.is(tooFar) {
					far++
				}
			}
		}
	}
	if far == 0 && !testing.Short() {
		t.Error("no choice went beyond its context: that was not tried")
	}
}

// What is told of the memory that a search takes counts these.
func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		what any
		want uintptr
	}{{part{}, sizeOfPart}, {answer{}, sizeOfAnswer}, {linkPage{}, 5 * pageLinks}} {
		if got := reflect.TypeOf(tt.what).Size(); got != tt.want {
			t.Errorf("%T takes %d bytes, want %d", tt.what, got, tt.want)
		}
	}
}

func newTestWorker(s *System, symmetric bool) *worker {
	q := &search{sys: s, opt: Options{NoReduction: true}, check: AllKinds}
	q.books = newBooks(s, symmetric, false)
	q.known = newAnswers(10, 1<<16)
	q.workers = []*worker{newWorker(q, q.books)}
	return q.workers[0]
}
