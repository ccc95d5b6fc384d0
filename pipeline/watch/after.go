package watch

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"backburn/results"
)

// followAgain is how long to wait before following outcomes again after a fault.
const followAgain = time.Second

// finishAll deals with files whose jobs have ended, until ctx ends.
func (s *session) finishAll(ctx context.Context) error {
	for {
		err := s.w.outcomes.Follow(ctx, s.w.cfg.Source, s.folder, s.handle)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = errors.New("the events ended")
		}
		s.part("outcomes", "final events can't be read, finished files stay in "+claimedDir+": "+err.Error())
		if sleep(ctx, followAgain) != nil {
			return nil
		}
	}
}

// handle does what is configured with the file of a final event. It returns nil when that is
// durable, or there is nothing to do: the file is another watcher's, or was dealt with
// before. It is safe to repeat at any point.
func (s *session) handle(ctx context.Context, e results.Event) error {
	s.part("outcomes", "")
	if !e.Type.Final() {
		return nil
	}
	id := e.Data.JobID
	err := s.conclude(ctx, id, e)
	if err != nil && ctx.Err() == nil {
		s.fault("after", err)
	} else if err == nil {
		s.part("after", "")
	}
	return err
}

func (s *session) conclude(ctx context.Context, id string, e results.Event) error {
	if !validID(id) {
		return nil // another publisher's job
	}
	if s.ledger != nil {
		if err := s.concludeInPlace(id, e); err != nil {
			return err
		}
	}
	// Even with claim = "keep" there may be files that were claimed by renaming, before the
	// configuration was changed.
	name := ""
	if s.spool == s.root {
		var err error
		if name, err = s.claimedAs(id, e.Data); err != nil {
			return err
		}
	}
	if name != "" {
		action, err := s.dispose(ctx, id, name, e)
		if isGone(err) {
			if _, lerr := s.root.lstat(claimedDir + "/" + name); isGone(lerr) {
				action, err = "", nil // another watcher was first
			}
		}
		if err != nil {
			return err
		}
		s.w.at("moved")
		if action != "" {
			s.w.finishes.Add(1)
			s.w.m.finished[action].Inc()
			s.w.log.Debug().Str("job", id).Str("outcome", e.Outcome()).Str("action", action).Msg("file finished")
		}
		if err := s.root.syncDir(claimedDir); err != nil {
			return err
		}
	}
	if s.w.cfg.Transfer == TransferObject {
		if err := s.w.objects.Delete(ctx, s.objectName(id)); err != nil {
			return fmt.Errorf("remove stored contents: %w", err)
		}
	}
	if s.spool == s.root {
		if err := s.paths.forget(id); err != nil {
			return err
		}
	}
	s.w.flight.finished(id)
	return nil
}

// claimedAs returns the name in claimedDir of a file with the given id, or "" if there is
// none.
func (s *session) claimedAs(id string, d results.Data) (string, error) {
	base := d.Filename
	if d.FilenameB64 != nil {
		base = string(d.FilenameB64)
	}
	guesses := []string{s.w.flight.name(id)}
	if base != "" && !strings.ContainsAny(base, "/\x00") {
		guess, _ := claimedName(id, base)
		guesses = append(guesses, guess)
	}
	for _, name := range guesses {
		if name == "" {
			continue
		}
		_, err := s.root.lstat(claimedDir + "/" + name)
		if err == nil || !isGone(err) {
			return name, err
		}
	}
	f, err := s.root.openDir(claimedDir)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(scanBatch)
		for _, d := range entries {
			if strings.HasPrefix(d.Name(), id+"-") {
				return d.Name(), nil
			}
		}
		if errors.Is(err, io.EOF) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
	}
}

// sidecarSuffix ends the name of a sidecar; what is before is the name of its file.
const sidecarSuffix = ".json"

// class returns what is configured for an event, and the name of its folder in doneDir.
func (a After) class(e results.Event) (action, verdict string) {
	if e.Type == results.Failed {
		return a.Failed, "failed"
	}
	switch v := e.Data.Verdict; v {
	case "benign":
		return a.Benign, v
	case "malware", "grayware", "phishing", "c2":
		return a.Malicious, v
	default:
		return AfterKeep, "unrecognised"
	}
}

// dispose moves a claimed file to where its event sends it, and returns what was done.
func (s *session) dispose(ctx context.Context, id, name string, e results.Event) (action string, err error) {
	action, verdict := s.w.cfg.After.class(e)
	done := doneDir + "/" + verdict
	if action == AfterKeep || s.w.cfg.Sidecar {
		if err := s.root.mkdirAll(done, true); err != nil {
			return "", err
		}
	}
	from := claimedDir + "/" + name
	var sidecar []byte
	if s.w.cfg.Sidecar {
		if sidecar, err = json.Marshal(e); err != nil {
			return "", err
		}
		if action == AfterKeep || action == AfterDelete || action == AfterRestore {
			// Before the file itself goes: a crash in between repeats both.
			if err := writeFile(s.root, done+"/"+name+sidecarSuffix, slices.Concat(sidecar, []byte("\n")), true); err != nil {
				return "", err
			}
		}
	}
	switch action {
	case AfterKeep:
		if _, err := s.renameNumbered(from, done, name); err != nil {
			return "", err
		}
		return action, s.root.syncDir(done)
	case AfterDelete:
		return action, s.root.remove(from)
	case AfterRestore:
		return action, s.restore(ctx, id, name)
	}
	return "move", s.moveOut(ctx, from, id, name, action, sidecar)
}

// shorten cuts a name to so many bytes, from the end of what is before its extension.
func shorten(name string, size int) string {
	over := len(name) - size
	ext := filepath.Ext(name)
	if stem := len(name) - len(ext); over > 0 && over < stem {
		return name[:stem-over] + ext
	}
	return name[:min(len(name), size)]
}

// maxExt is how long an extension is at most; what is longer is part of the name.
const maxExt = 32

// renameNumbered moves a file to a name in dir, with a number if the name is taken, and
// returns where it is.
func (s *session) renameNumbered(from, dir, name string) (to string, err error) {
	for n := 0; ; n++ {
		to = path.Join(dir, numbered(name, n))
		if err = s.root.rename(from, to, false); !errors.Is(err, fs.ErrExist) {
			return to, err
		}
	}
}

// numbered returns name with a number before its extension; the zeroth is name itself.
func numbered(name string, n int) string {
	if n == 0 {
		return name
	}
	ext := filepath.Ext(name)
	if ext == name || len(ext) > maxExt { // ".profile"
		ext = ""
	}
	suffix := "." + strconv.Itoa(n) + ext
	stem := strings.TrimSuffix(name, ext)
	return stem[:min(len(stem), max(nameMax-len(sidecarSuffix)-len(suffix), 1))] + suffix
}

// restore puts a claimed file back where it was found, under a name with a number if its
// own is taken. The ledger knows it before it is there, so that it isn't taken again.
func (s *session) restore(ctx context.Context, id, name string) error {
	_, base, whole, _ := splitClaimed(name)
	rel, err := s.paths.found(id, base, whole)
	if err != nil {
		s.w.log.Error().Str("job", id).Err(err).Msg("where a file was found is not on record, it is restored to the folder itself")
		rel = base
	}
	from := claimedDir + "/" + name
	st, err := s.root.lstat(from)
	if err != nil {
		return err
	}
	if dir := path.Dir(rel); dir != "." {
		err := s.root.mkdirAll(dir, false)
		if err == nil {
			err = s.root.checkDir(dir)
		}
		if err != nil {
			if !isBlocked(err) && !isCrossDevice(err) {
				return err
			}
			rel = path.Base(rel) // something that is no folder, or on another mount, is in the way now
		}
	}
	r, err := s.restored(ctx, id, from, st)
	if err != nil {
		return err
	}
	s.w.at("restoring")
	to, err := s.renameNumbered(from, path.Dir(rel), path.Base(rel))
	if err != nil {
		return err
	}
	if err := s.root.syncDir(path.Dir(to)); err != nil {
		return err
	}
	// The renaming was a change, too. Without this the record would do for a file of the same
	// size and mtime.
	if now, err := s.root.lstat(to); err == nil && now.identity == st.identity {
		r.pending, r.stamp, r.rel = false, now.stamp, to
		return s.ledger.touched(s.own(st.identity), r)
	}
	return nil
}

// restored notes in the ledger that a claimed file is about to be put back.
func (s *session) restored(ctx context.Context, id, from string, st fileState) (r record, err error) {
	r = record{stamp: st.stamp, pending: true, id: id, rel: from}
	if st.size <= s.w.cfg.MaxFileSize {
		f, err := s.root.open(from)
		if err != nil {
			return r, err
		}
		defer f.Close()
		if r.sha256, err = s.hashers.sum(ctx, f, st.size); err != nil {
			return r, err
		}
	}
	return r, s.ledger.touched(s.own(st.identity), r)
}

// moveOut moves a claimed file to a folder of the operator's, by copying where that is on
// another file system.
func (s *session) moveOut(ctx context.Context, from, id, name, dir string, sidecar []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	_, base, whole, _ := splitClaimed(name)
	rel, err := s.paths.found(id, base, whole)
	if err == nil {
		base = path.Base(rel)
	}
	if sidecar != nil {
		base = shorten(base, nameMax-len(sidecarSuffix))
	}
	for n := 0; ; n++ {
		to := filepath.Join(dir, numbered(base, n))
		if sidecar != nil {
			// The sidecar comes first, and reserves the name.
			if ok, err := reserve(to+sidecarSuffix, id, sidecar); err != nil {
				return err
			} else if !ok {
				continue
			}
		}
		err := s.root.renameOut(from, to)
		if isCrossDevice(err) {
			err = s.copyOut(ctx, from, to)
		}
		switch {
		case errors.Is(err, fs.ErrExist):
			if sidecar != nil {
				os.Remove(to + sidecarSuffix)
			}
			continue
		case err != nil:
			return err
		}
		return syncPath(dir)
	}
}

// reserve writes a sidecar, whole and durably, unless there is one that belongs to another
// job. One that belongs to this job is from a try that was cut short, and stays.
func reserve(name, id string, sidecar []byte) (ok bool, err error) {
	tmp := filepath.Join(filepath.Dir(name), copyPrefix+newID(time.Now(), rootTag)+copySuffix)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false, err
	}
	defer os.Remove(tmp) // fails when it got its name
	_, err = f.Write(slices.Concat(sidecar, []byte("\n")))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	err = renamePath(tmp, name)
	if !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return false, err
	}
	var e results.Event
	return json.Unmarshal(b, &e) == nil && e.Data.JobID == id, nil
}

// Copies that are being made are called copyPrefix, an id, copySuffix.
const (
	copyPrefix = ".backburn-"
	copySuffix = ".tmp"
)

// copyOut is renameOut to another file system. The copy gets its name when it is whole and
// durable, and only then is the original removed. If a crash comes between the two, the
// repeat finds a copy of equal contents and is content with it.
func (s *session) copyOut(ctx context.Context, from, to string) error {
	in, err := s.root.open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.stat()
	if err != nil {
		return err
	}
	tmp := filepath.Join(filepath.Dir(to), copyPrefix+newID(time.Now(), rootTag)+copySuffix)
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(tmp) // fails when it got its name
	if err = copyFile(ctx, out, in, st.size); err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	written := time.Unix(0, st.mtime)
	if err := os.Chtimes(tmp, written, written); err != nil {
		return err
	}
	if err := renamePath(tmp, to); err != nil {
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		same, serr := sameContents(tmp, to)
		if serr != nil || !same {
			return errors.Join(err, serr)
		}
	}
	if err := syncPath(filepath.Dir(to)); err != nil {
		return err
	}
	s.w.at("copied")
	return s.root.remove(from)
}

// sameContents reports whether two regular files hold the same bytes.
func sameContents(a, b string) (bool, error) {
	sa, err := os.Lstat(a)
	if err != nil {
		return false, err
	}
	sb, err := os.Lstat(b)
	if err != nil || !sb.Mode().IsRegular() || sa.Size() != sb.Size() {
		return false, err
	}
	ha, err := hashPath(a)
	if err != nil {
		return false, err
	}
	hb, err := hashPath(b)
	return ha == hb, err
}

func hashPath(name string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return [sha256.Size]byte(h.Sum(nil)), err
}
