package readable_test

// unmended are files that the test passes over. None is added; who mends one takes it off.
var unmended = map[string]bool{
	"internal/admin/status.go":         true,
	"internal/app/api_test.go":         true,
	"internal/config/simulate.go":      true,
	"internal/config/simulate_test.go": true,
}
