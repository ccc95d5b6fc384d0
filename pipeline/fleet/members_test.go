package fleet

import (
	"testing"

	"backburn/pipeline"
)

// A member that left the fleet while a worker was disconnected has no share of the rate afterwards.
func TestMembersThatLeftUnseen(t *testing.T) {
	t.Parallel()
	f := Join(nil, pipeline.DefaultConfig().Lease, Process{Role: "worker", Slots: 8})
	f.live["stays"], f.live["leaves"] = Member{ID: "stays"}, Member{ID: "leaves"}
	_, changed := f.LiveWorkers()
	f.removeMissing(map[string]bool{"stays": true})
	select {
	case <-changed:
	default:
		t.Error("the change was not reported")
	}
	if all, _ := f.LiveWorkers(); len(all) != 2 || all[0].ID != f.self.ID || all[1].ID != "stays" {
		t.Errorf("members: %+v", all)
	}
}
