package app

// StatusCache is the cached state of the fleet, for tests.
type StatusCache = statusCache

var NewStatusCache = newStatusCache

var CachedStatus = (*statusCache).status
