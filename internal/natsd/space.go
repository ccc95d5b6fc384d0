package natsd

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"backburn/internal/config"
	"backburn/internal/health"
)

// minFree is the free space below which the store is in danger: once a write fails, JetStream
// accepts nothing until the store is opened again.
const minFree = config.Size(256 << 20)

// lowFree is the free space below which an operator should act.
const lowFree = config.Size(2 << 30)

// CheckSpace returns the free space on the disk of a store. The error is a health.Fault if there is
// too little.
func CheckSpace(dir string) (config.Size, error) {
	free, err := FreeSpace(dir)
	if err != nil {
		return 0, health.Fault{State: health.Degraded, Cause: health.CauseDisk, Reason: err.Error()}
	}

	f := health.Fault{
		Cause:  health.CauseDisk,
		Reason: fmt.Sprintf("less than %s free for %s", wholeMiB(lowFree), dir),
		Remedy: "free disk space, or set nats.embedded.store_dir to another disk: a full store stops everything",
	}
	switch {
	case free < minFree:
		f.Reason = fmt.Sprintf("less than %s free for %s", wholeMiB(minFree), dir)
		return free, f
	case free < lowFree:
		f.State = health.Degraded
		return free, f
	}

	return free, nil
}

// capacity returns how many bytes the store may hold: a part of the sum of its current size and the
// free space, so that it does not change when a full store is opened again.
func capacity(dir string) (config.Size, error) {
	free, err := FreeSpace(dir)
	if err != nil {
		return 0, err
	}
	if free < minFree {
		return 0, fullDisk(dir, free)
	}

	used, err := usedSpace(dir)
	if err != nil {
		return 0, err
	}

	return wholeMiB((free + config.Size(used)) / 100 * storePercent), nil
}

func fullDisk(dir string, free config.Size) error {
	return fmt.Errorf("%s: %w (%s free, at least %s needed): free disk space, or set nats.embedded.store_dir to another disk, and start again",
		dir, ErrNoSpace, wholeMiB(free), wholeMiB(minFree))
}

// wholeMiB rounds a size down to whole mebibytes.
func wholeMiB(s config.Size) config.Size { return s &^ (1<<20 - 1) }

// usedSpace adds up the files below dir.
func usedSpace(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}

		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			total += info.Size()
		}

		return err
	})
	if err != nil {
		return 0, fmt.Errorf("nats.embedded.store_dir: %w", err)
	}

	return total, nil
}
