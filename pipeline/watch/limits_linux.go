package watch

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Recommended limits of inotify(7).
const (
	recommendedWatches   = 8192
	recommendedQueue     = 65536
	recommendedInstances = 128
)

// eventLimits describes the limits of inotify, and how to raise those that are too low to watch
// this many folders. folders is 0 if events are not available at all.
func eventLimits(folders int) (detail, fix string) {
	read := func(name string) int {
		b, err := os.ReadFile("/proc/sys/fs/inotify/" + name)
		if err != nil {
			return -1
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return -1
		}
		return n
	}
	watches := read("max_user_watches")
	instances := read("max_user_instances")
	queue := read("max_queued_events")
	detail = fmt.Sprintf("inotify, %d folders; max_user_watches %d, max_user_instances %d, max_queued_events %d",
		folders, watches, instances, queue)
	var fixes []string
	raise := func(name string, have, want int) {
		if have >= 0 && have < want {
			fixes = append(fixes, fmt.Sprintf("sysctl fs.inotify.%s=%d", name, want))
		}
	}
	raise("max_user_watches", watches, max(2*folders, recommendedWatches))
	raise("max_user_instances", instances, recommendedInstances)
	if queue >= 0 && queue < 16384 { // the kernel's default; larger bursts only cause a scan
		raise("max_queued_events", queue, recommendedQueue)
	}
	if folders == 0 && len(fixes) == 0 { // no instance available: other processes have used them up
		raise("max_user_instances", instances, max(2*instances, recommendedInstances))
	}

	return detail, strings.Join(fixes, "; ")
}
