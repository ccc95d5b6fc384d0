package spool

import (
	"backburn/pipeline"
)

// The layout. Names of folders are relative to the spool.
const (
	Dir     = pipeline.SpoolDir // the spool itself, below the watched folder
	Claimed = "claimed"
	Done    = "done"
	Failed  = Done + "/failed"
	Beside  = "beside" // what lay beside claimed files, by id

	tmpDir     = "tmp"
	pathsDir   = "paths"
	folderFile = "folder"
)
