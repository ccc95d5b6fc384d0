package watch

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"path"
	"time"

	"backburn/results"
)

// own makes an identity one within the folder: its device counts only where it is another
// than the folder's own, since the numbers of devices change with restarts.
func (s *session) own(i identity) identity {
	if i.dev == s.dev {
		i.dev = 0
	}
	return i
}

// keepID derives a job's id from everything that makes a file this one and not another. The
// name is no part of it: a file that is renamed in place is the same, and another one of the
// same name has another inode or birth time. Where the file system keeps no birth time the
// time of the last change stands in for it.
func (s *session) keepID(st fileState, sum [sha256.Size]byte) string {
	i := s.own(st.identity)
	h := sha256.New()
	h.Write([]byte(s.folder))
	h.Write(i.key())
	birth := i.btime
	if birth == 0 {
		birth = st.ctime
	}
	var b []byte
	for _, v := range []int64{birth, st.size, st.mtime} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	h.Write(b)
	h.Write(sum[:])
	digest := h.Sum(nil)
	id := make([]byte, idLen)
	for i := range id {
		id[i] = crockford[digest[i]&31]
	}
	return string(id)
}

// known reports whether a file was handed over before, as it is now.
func (s *session) known(rel string, st fileState) bool {
	if s.ledger == nil {
		return false
	}
	i := s.own(st.identity)
	r, ok := s.ledger.get(i)
	switch {
	case !ok || r.size != st.size || r.mtime != st.mtime:
		return false
	case r.pending:
		// A restored file, by a process that did not live to see it done, or is about to.
		if !s.w.flight.has(r.id) {
			r.pending, r.ctime, r.rel = false, st.ctime, rel
			if err := s.ledger.touched(i, r); err != nil {
				s.fault("ledger", err)
			}
		}
		return true
	}
	return r.ctime == st.ctime
}

// knownName is known for a name that a scan found, so that it need not be remembered.
func (s *session) knownName(rel string) bool {
	st, err := s.root.lstat(rel)
	return err == nil && st.regular && s.known(rel, st)
}

// sameContents reports whether a file that was handed over before, and whose ctime changed
// since, still has the contents that it had. It says no where there is no birth time: then it may
// be another file in the same inode.
func (s *session) sameContents(ctx context.Context, rel string, f *file, st fileState) (bool, error) {
	i := s.own(st.identity)
	r, ok := s.ledger.get(i)
	if !ok || i.btime == 0 || r.size != st.size || r.mtime != st.mtime || st.size > s.w.cfg.MaxFileSize {
		return false, nil
	}
	sum, err := s.hashers.sum(ctx, f, st.size)
	if err != nil || sum != r.sha256 {
		return false, err
	}
	if err := unchanged(f, st); err != nil {
		return false, err
	}
	r.stamp, r.rel, r.pending = st.stamp, rel, false
	return true, s.ledger.touched(i, r)
}

// takeInPlace publishes a file that stays where it is. It is the twin of claim and finish.
func (s *session) takeInPlace(ctx context.Context, rel string, f *file, st fileState) outcome {
	defer f.Close()
	err := s.publishInPlace(ctx, rel, f, st)
	switch {
	case err == nil, ctx.Err() != nil:
		return forget
	case errors.Is(err, errUnsettled):
		return changed
	case isGone(err):
		return forget
	}
	s.fault("claim", err)
	return failed
}

func (s *session) publishInPlace(ctx context.Context, rel string, f *file, st fileState) (err error) {
	cancel := true
	defer func() {
		if cancel {
			s.w.flight.cancel()
		}
	}()
	if err := s.sync.sync(ctx, f, ""); err != nil {
		return err
	}
	s.w.at("synced")
	job := s.describe("", rel, st)
	now := time.Now().UTC()
	job.ReceivedAt = now
	job.Content.Path, job.Content.PathB64 = job.Path, job.PathB64
	if err := s.hash(ctx, f, st, &job); err != nil {
		return err
	}
	r := record{stamp: st.stamp, rel: rel}
	if _, err := hex.Decode(r.sha256[:], []byte(job.SHA256)); err != nil {
		return err
	}
	r.id = s.keepID(st, r.sha256)
	job.ID = r.id
	i := s.own(st.identity)
	if have, ok := s.ledger.get(i); ok && have.id == r.id {
		return s.ledger.touched(i, r)
	}
	cancel = false
	s.w.flight.claimed(r.id, "", now)
	s.w.claims.Add(1)
	s.w.m.claimed.Inc()
	s.w.at("claimed")
	if err := s.store(ctx, st, &job, func() (*file, error) { return s.root.open(rel) }); err != nil {
		s.w.flight.finished(r.id)
		return err
	}
	if err := s.publish(ctx, job); err != nil {
		return err
	}
	s.w.m.latency.Observe(time.Since(now).Seconds())
	s.w.at("published")
	if err := s.ledger.published(i, r, now); err != nil {
		return err
	}
	s.w.at("recorded")
	return nil
}

// concludeInPlace deals with the final event of a file that stays where it is, if it is one.
func (s *session) concludeInPlace(id string, e results.Event) error {
	keep := s.w.cfg.Claim == ClaimKeep
	if !keep && !s.ledger.isOpen(id) {
		return nil
	}
	if s.w.cfg.Sidecar && s.w.flight.has(id) && s.w.flight.name(id) == "" {
		if err := s.sidecarInPlace(id, e); err != nil {
			return err
		}
	}
	wasOpen, err := s.ledger.finished(id, time.Now())
	if err != nil {
		return err
	}
	if wasOpen {
		s.w.finishes.Add(1)
		s.w.m.finished[AfterKeep].Inc()
	}
	return nil
}

// sidecarInPlace writes the final event of a file that stays where it is.
func (s *session) sidecarInPlace(id string, e results.Event) error {
	_, verdict := s.w.cfg.After.class(e)
	done := doneDir + "/" + verdict
	if err := s.spool.mkdirAll(done, true); err != nil {
		return err
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	base := e.Data.Filename
	if e.Data.FilenameB64 != nil {
		base = string(e.Data.FilenameB64)
	}
	name, _ := claimedName(id, path.Base(base))
	return writeFile(s.spool, done+"/"+name+sidecarSuffix, append(b, '\n'), true)
}

// recount counts what was published and is not finished, as the ledger has it.
func (s *session) recount() error {
	jobs, err := s.ledger.openJobs()
	if err != nil {
		return err
	}
	for id, since := range jobs {
		s.w.flight.add(id, "", since)
	}
	return nil
}
