package fleet

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// A member's report of its duties is small, and lists what is not ok first.
func TestDutiesAreBounded(t *testing.T) {
	t.Parallel()
	var d Duties
	for i := range 100 {
		f := Folder{Path: fmt.Sprint(i, strings.Repeat("ä", 1000)), Source: "mail", State: "ok"}
		s := Sink{Name: fmt.Sprint(i), Kind: "webhook", State: "ok"}
		if i == 99 {
			f.State = "failed"
			s.State = "retrying"
		}
		d.Folders = append(d.Folders, f)
		d.Sinks = append(d.Sinks, s)
	}

	b := d.bounded()
	body, err := json.Marshal(Member{Duties: b})
	if err != nil || len(body) > 8<<10 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	if b.Folders[0].State != "failed" || b.Sinks[0].State != "retrying" || b.Omitted != 200-len(b.Folders)-len(b.Sinks) || b.Omitted < 100 {
		t.Errorf("first %+v and %+v, %d omitted", b.Folders[0], b.Sinks[0], b.Omitted)
	}
	if len(d.Folders[0].Path) < 1000 {
		t.Error("the caller's data was shortened")
	}
}
