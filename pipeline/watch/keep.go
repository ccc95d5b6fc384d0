package watch

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"path"
	"sync"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline"
	"backburn/pipeline/watch/ledger"
	"backburn/pipeline/watch/settle"
	"backburn/pipeline/watch/spool"
	"backburn/results"
)

// keeper leaves files in place and records them in the ledger. It takes files if claim = "keep",
// and otherwise finishes those taken earlier. There is a ledger whenever there is a keeper.
type keeper struct {
	*folder
	known       *knownFiles
	claimSyncer *syncer
	lost        sync.Map // IDs of jobs that the queue has lost, until they are published again
}

// jobID derives a job's ID from everything that distinguishes its file from others. The name is
// not included: a file renamed in place is the same file, and a different file with the same name
// has another inode or birth time. Without a birth time, the ctime is used.
func (k *keeper) jobID(st rootfs.State, sum [sha256.Size]byte) string {
	h := sha256.New()
	h.Write([]byte(k.id))
	h.Write(ledger.Key(k.relativeIdentity(st.Identity)))
	birth := st.Birth
	if birth == 0 {
		birth = st.Ctime
	}
	var b []byte
	for _, v := range []int64{birth, st.Size, st.Mtime} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	h.Write(b)
	h.Write(sum[:])

	return spool.DerivedID(h.Sum(nil))
}

func (k *keeper) take(ctx context.Context, rel string, f *rootfs.File, st rootfs.State, report func(settle.Outcome)) {
	defer f.Close()

	err := k.submit(ctx, rel, f, st)
	switch {
	case err == nil:
		k.w.health.set("claim", "")
		k.w.troubles.clear(rel)
		report(settle.Forget)
	case ctx.Err() != nil, rootfs.IsGone(err):
		report(settle.Forget)
	case errors.Is(err, errUnsettled):
		report(settle.Changed)
	default:
		k.reportError(ctx, rel, cannotOpen, "claim", err)
		report(settle.Failed)
	}
}

// submit publishes a file as a job and records it in the ledger.
func (k *keeper) submit(ctx context.Context, rel string, f *rootfs.File, st rootfs.State) error {
	job, r, err := k.prepareJob(ctx, rel, f, st)
	i := k.relativeIdentity(st.Identity)
	if err == nil {
		if have, ok := k.known.get(st.Identity); ok && have.ID == r.ID {
			err = k.known.ledger.Update(i, r)
			k.w.inFlight.cancelReservation()
			return err
		}
		if err = k.claimSyncer.sync(ctx, f); err == nil {
			k.w.notifyStep("synced")
		}
	}
	if err != nil {
		k.w.inFlight.cancelReservation()
		return err
	}

	_, job.Repeated = k.lost.Load(r.ID)
	k.w.inFlight.addClaimed(r.ID, "", job.ReceivedAt)
	k.w.claims.Add(1)
	k.w.m.claimed.Inc()
	k.w.notifyStep("claimed")
	if err := k.storeContents(ctx, st, &job, func() (*rootfs.File, error) { return k.root.Open(rel) }); err != nil {
		k.w.inFlight.remove(r.ID)
		return err
	}
	if err := k.publish(ctx, job); err != nil {
		return err
	}
	k.lost.Delete(r.ID)
	k.w.inFlight.markPublished(r.ID)
	k.w.m.latency.Observe(time.Since(job.ReceivedAt).Seconds())
	k.w.notifyStep("published")
	isOpen, err := k.known.ledger.MarkPublished(i, r, job.ReceivedAt)
	if err != nil {
		return err
	}
	if !isOpen {
		k.w.inFlight.remove(r.ID)
	}
	k.w.notifyStep("recorded")

	return nil
}

// prepareJob hashes a file and returns its job and its ledger record.
func (k *keeper) prepareJob(ctx context.Context, rel string, f *rootfs.File, st rootfs.State) (pipeline.Job, ledger.Record, error) {
	r := ledger.Record{Stamp: st.Stamp, Rel: rel}
	job := k.newJob("", rel, st)
	job.ReceivedAt = time.Now().UTC()
	job.Content.Path = job.Path
	job.Content.PathB64 = job.PathB64
	if name := k.findDescription(ctx, rel); name != "" {
		k.addDescription(&job, k.root, name)
	}
	if err := k.known.hashers.setHash(ctx, f, st, k.cfg.MaxFileSize, &job); err != nil {
		return job, r, err
	}
	if _, err := hex.Decode(r.SHA256[:], []byte(job.SHA256)); err != nil {
		return job, r, err
	}
	r.ID = k.jobID(st, r.SHA256)
	job.ID = r.ID

	return job, r, nil
}

// recover adds the jobs in the ledger that are published and unfinished to those in flight. After
// startup it does nothing, because only this process changes the ledger.
func (k *keeper) recover(_ context.Context, minAge time.Duration) error {
	if minAge > 0 {
		return nil
	}

	jobs, err := k.known.ledger.OpenJobs()
	for id, since := range jobs {
		k.w.inFlight.add(id, "", since)
		k.w.inFlight.markPublished(id)
	}

	return err
}

// republish forgets these jobs, so that the next scan takes those of their files that still exist.
// The jobs keep their IDs.
func (k *keeper) republish(_ context.Context, ids []string) (n int, err error) {
	forgotten, err := k.known.ledger.ForgetJobs(ids)
	if err != nil {
		return 0, err
	}
	for _, id := range forgotten {
		k.w.inFlight.remove(id)
		k.lost.Store(id, nil)
	}

	return len(forgotten), nil
}

func (k *keeper) handleFinal(_ context.Context, id string, e results.Event) error {
	active := k.cfg.Claim == ClaimKeep
	if !active && !k.known.ledger.IsOpen(id) {
		return nil
	}
	if k.cfg.Sidecar && k.w.inFlight.has(id) && k.w.inFlight.name(id) == "" {
		_, dir := k.cfg.After.actionFor(e)
		name, _ := spool.ClaimedName(id, path.Base(eventName(e)))
		sidecar, err := sidecarOf(e)
		if err == nil {
			err = k.writeSidecar(spool.Done+"/"+dir, name, sidecar)
		}
		if err != nil {
			return err
		}
	}

	wasOpen, err := k.known.ledger.MarkFinished(id, time.Now())
	if err != nil {
		return err
	}
	if wasOpen {
		k.w.finishes.Add(1)
		k.w.m.finished[AfterKeep].Inc()
	}

	return nil
}
