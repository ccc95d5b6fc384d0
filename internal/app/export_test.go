package app

// Fleet is the remembered state of the fleet, for tests.
type Fleet = fleet

var NewFleet = newFleet

var FleetStatus = (*fleet).status
