package explore

import "fmt"

// ChoiceKind is a kind of thing that can happen next.
type ChoiceKind uint8

// The kinds of choice. The order is that in which choices are tried.
const (
	Step    ChoiceKind = iota // a context takes its next step; Who: the context, a vcpu or, from the number of vcpus on, a foreign path
	Kick                      // a physical IPI arrives at a vcpu
	Wake                      // a vcpu that was woken or preempted gets a physical CPU
	Task                      // a task begins its next operation, and takes the first step of it
	Send                      // an event comes from outside for a port of the scenario: the sender reads which vcpu to tell
	Tick                      // a vcpu's timer ticks
	Sleep                     // a vcpu with nothing to do begins to go to sleep
	Preempt                   // a vcpu loses its physical CPU
	numChoiceKinds
)

var choiceNames = [numChoiceKinds]string{"step", "kick", "wake", "task", "send", "tick", "sleep", "preempt"}

// String gives the kind's name.
func (k ChoiceKind) String() string {
	if k < numChoiceKinds {
		return choiceNames[k]
	}
	return fmt.Sprintf("choice(%d)", k)
}

// Choice is one thing that can happen next: its kind in the upper three bits, and who does it, or to whom it is done, in the
// others. A list of choices from the beginning is a schedule.
type Choice uint8

const maxWho = 1<<5 - 1

func choice(k ChoiceKind, who int) Choice {
	if who > maxWho {
		panic("explore: internal error: too many contexts")
	}
	return Choice(k)<<5 | Choice(who)
}

// Kind is the kind of choice.
func (c Choice) Kind() ChoiceKind { return ChoiceKind(c >> 5) }

// Who is the number of the context, vcpu, task or port.
func (c Choice) Who() int { return int(c & maxWho) }

// String gives for example "step 1".
func (c Choice) String() string { return fmt.Sprintf("%s %d", c.Kind(), c.Who()) }
