-- What wrk sends and what it tells at the end.
-- Arguments: the workload, the number of the run, a file with a request_id on each line.

local run, serial = 0, 0

-- tag is another in each call, by which the upstream knows it: 4 digits of the run, 8 of the call.
local function tag()
  serial = serial + 1
  return string.format("%04d%08d", run, serial)
end

-- any returns a function that draws one of the requests.
local function any(requests)
  return function() return requests[math.random(#requests)] end
end

local make = {}

function make.hit(ids)
  local all = {}
  for i, id in ipairs(ids) do
    all[i] = wrk.format("GET", "/verify/search/json?request_id=" .. id)
  end
  return any(all)
end

function make.hit10(ids)
  local all = {}
  for i = 1, #ids do
    local names = {}
    for k = 0, 9 do
      names[#names + 1] = "request_ids=" .. ids[(i + k - 1) % #ids + 1]
    end
    all[i] = wrk.format("GET", "/verify/search/json?" .. table.concat(names, "&"))
  end
  return any(all)
end

local function post(path, body)
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
  return function() return wrk.format("POST", path, nil, body()) end
end

function make.request()
  return post("/verify/json", function()
    local t = tag()
    return string.format("number=447700900%03d&brand=Acme+%s", serial % 1000, t)
  end)
end

function make.check()
  return post("/verify/check/json", function() return "request_id=cc121958d8fb4368aa3b" .. tag() .. "&code=1234" end)
end

function init(args)
  local ids = {}
  for id in io.lines(args[3]) do ids[#ids + 1] = id end
  run = tonumber(args[2])
  math.randomseed(run)
  -- As an SDK's HTTP client would.
  wrk.headers["Host"] = "verify.internal"
  wrk.headers["Authorization"] = "Basic YXBwOm5vbmU="
  wrk.headers["Accept"] = "application/json"
  wrk.headers["User-Agent"] = "vonage-sdk/1.0"
  request = make[args[1]](ids)
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"micros":%d,"non_2xx":%d,"socket_errors":%d,"p50":%d,"p99":%d,"p9999":%d}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.99)))
end
