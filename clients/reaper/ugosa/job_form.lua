--- The choices of a job, offered by the server's models and remembered between runs.

local settings = require("ugosa.settings")

local JobForm = {}
JobForm.__index = JobForm

local PRESETS = { "the server's default", "paper", "authors-code" }
local MODEL_STRATEGY = "the preset's own"

local function index_of(list, value)
  for index, one in ipairs(list) do
    if one == value then return index end
  end
  return 1
end

--- Offer these models, as `ugosa models` lists them.
function JobForm.new(models)
  local self = setmetatable({ models = models, model_names = {} }, JobForm)
  local default
  for index, model in ipairs(models) do
    self.model_names[index] = model.name
    if model.is_default then default = model.name end
  end
  self.model = index_of(self.model_names, settings.get("model") or default)
  self.preset = index_of(PRESETS, settings.get("preset"))
  self.starts_fresh = false -- a wish for one run, so it is not remembered
  self:_choose_model(self.model)
  return self
end

function JobForm:_choose_model(index)
  self.model = index
  self.strategies = { MODEL_STRATEGY }
  for _, strategy in ipairs(self.models[index].strategies or {}) do
    self.strategies[#self.strategies + 1] = strategy.name
  end
  self.strategy = index_of(self.strategies, settings.get("strategy"))
end

--- Names of the stems of the chosen model.
function JobForm:sources() return self.models[self.model].sources end

--- Return the choices for the window.
function JobForm:choices()
  local choices = {
    { id = "preset", label = "Settings", options = PRESETS, selected = self.preset },
    { id = "strategy", label = "What learns (strategy)", options = self.strategies, selected = self.strategy },
    { id = "fresh", label = "Start fresh", checked = self.starts_fresh },
  }
  if #self.model_names > 1 then
    table.insert(choices, 1, { id = "model", label = "Model", options = self.model_names, selected = self.model })
  end
  return choices
end

--- Answer a choice of the user, and remember it; `index` is a boolean where it is checked or not.
function JobForm:choose(id, index)
  if id == "model" then
    self:_choose_model(index)
    settings.set("model", self.model_names[index])
  elseif id == "preset" then
    self.preset = index
    settings.set("preset", index > 1 and PRESETS[index] or nil)
  elseif id == "strategy" then
    self.strategy = index
    settings.set("strategy", index > 1 and self.strategies[index] or nil)
  elseif id == "fresh" then
    self.starts_fresh = index
  end
end

--- Return the options of the request; what is not chosen is left to the server.
function JobForm:options()
  return {
    model = self.model_names[self.model],
    preset = self.preset > 1 and PRESETS[self.preset] or nil,
    strategy = self.strategy > 1 and self.strategies[self.strategy] or nil,
    base_stems = "early",
    start_from = self.starts_fresh and "none" or "auto",
  }
end

return JobForm
