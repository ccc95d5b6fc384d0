//go:build !linux

package fleet

import "errors"

func thisMachine() (string, error)         { return "", errors.ErrUnsupported }
func processExists(int) bool               { return true }
func processStartTime(int) (uint64, error) { return 0, errors.ErrUnsupported }
