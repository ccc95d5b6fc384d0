package wildfire_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func TestSubmitFile(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New(wildfiretest.WithDelay(0))
	client, _ := start(t, server)

	var last, total int64
	progress := wildfire.WithProgress(func(s, n int64) { last, total = s, n })
	got, err := client.SubmitFile(t.Context(), file("malware.exe", "MZ contents"), progress)
	if err != nil {
		t.Fatal(err)
	}
	want := wildfire.Submission{
		Filetype: "PE32 executable", Filename: "malware.exe",
		SHA256: sha256Of("MZ contents"), MD5: md5Of("MZ contents"), Size: 11,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("submission (-want +got):\n%s", diff)
	}
	if last != 11 || total != 11 {
		t.Errorf("progress ended at %d of %d, want 11 of 11", last, total)
	}
	record, err := client.Verdict(t.Context(), got.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	wantRecord := wildfire.VerdictRecord{SHA256: got.SHA256, MD5: got.MD5, Verdict: wildfire.Malware, HasVerdict: true}
	if diff := cmp.Diff(wantRecord, record); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
	uploads := server.Uploads(got.SHA256)
	if len(uploads) != 1 || uploads[0].Token != "token" {
		t.Errorf("uploads %+v, want one with the client's token", uploads)
	}
}
