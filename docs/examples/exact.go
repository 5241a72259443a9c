package main

import (
	"encoding/json"
	"fmt"
	"log"
)

func main() {
	reply := `{"actual_balance":{"USDT":123456789012345678.123456}}`
	var balance struct {
		Actual map[string]json.Number `json:"actual_balance"` // json.Number keeps the digits
	}
	if err := json.Unmarshal([]byte(reply), &balance); err != nil {
		log.Fatal(err)
	}
	fmt.Println(balance.Actual["USDT"])
}
