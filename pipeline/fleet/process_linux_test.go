package fleet

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// The ID of a worker shows if its process is dead. The IDs of a live process, of one on another
// machine, and of no process do not count as dead.
func TestDeadProcess(t *testing.T) {
	t.Parallel()
	if _, err := thisMachine(); err != nil {
		t.Fatal(err)
	}
	self := newMemberID()
	if again := newMemberID(); again == self {
		t.Errorf("two workers are called %s", self)
	}
	with := func(part int, value string) string {
		parts := strings.Split(self, "-")
		parts[part] = value
		return strings.Join(parts, "-")
	}
	child := exec.Command("true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	ended := with(1, strconv.Itoa(child.Process.Pid))
	machine, _, _ := strings.Cut(self, "-")
	for _, c := range []struct {
		what, id string
		want     bool
	}{
		{"this process", self, false},
		{"a process that has ended", ended, true},
		{"a process whose ID was reused", with(2, "0"), true},
		{"a process of another machine", strings.Replace(ended, machine, strings.Repeat("0", len(machine)), 1), false},
		{"an ID without a process", "L3KNtfnps2Lv4VGmKpR84R", false},
		{"no id", "", false},
	} {
		if got := processEnded(c.id); got != c.want {
			t.Errorf("%s (%s): dead %v, want %v", c.what, c.id, got, c.want)
		}
	}
}
