package spool

import (
	"backburn/pipeline"
)

// The layout. Paths are relative to the spool.
const (
	Dir     = pipeline.SpoolDir // the spool itself, below the watched folder
	Claimed = "claimed"
	Done    = "done"
	Failed  = Done + "/failed"
	Beside  = "beside" // descriptions of claimed files, by job ID

	tmpDir     = "tmp"
	pathsDir   = "paths"
	folderFile = "folder"
)
