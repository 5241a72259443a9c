import { parse } from 'lossless-json';

const reply = '{"actual_balance":{"USDT":123456789012345678.123456}}';
// Numbers keep their digits. Calculate with a decimal library of your choice, such as big.js.
const balance = parse(reply, null, (digits) => digits);
console.log(balance.actual_balance.USDT);
