package app

// StatusCache is the cached state of the fleet, for tests.
type StatusCache = statusCache

var NewStatusCache = newStatusCache

var CachedStatus = (*statusCache).status

// CloseHTTP closes the HTTP listener, as a fault of it would.
func (n *Node) CloseHTTP() { n.http.Close() }

// NotifySystemd is tested with a registry whose parts are never checked.
var NotifySystemd = notifySystemd
